from __future__ import annotations

import pytest

from pcaps.errors import BadInput
from pcaps.quantities import parse_bytes, parse_duration_ns, parse_pps, parse_rate


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("1000", 1000), ("1k", 1000), ("1KB", 1000), ("1 kB", 1000), ("64KiB", 65_536),
        ("1.5MB", 1_500_000), ("1GB", 10**9), ("1GiB", 2**30), (".5TB", 5 * 10**11), ("0", 0),
    ],
)  # fmt: skip
def test_sizes(asked: str, expected: int) -> None:
    assert parse_bytes(asked) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("1Mpps", 10**6), ("14.88Mpps", 14_880_000), ("200k", 200_000), ("7", 7), ("1 pps", 1)],
)
def test_rates(asked: str, expected: int) -> None:
    assert parse_pps(asked) == expected


@pytest.mark.parametrize("asked", ["", "GB", "-1", "1XB", "1GBps", "1e9", "1,000", "nan", "1mpps"])
def test_what_is_no_size_is_refused_with_an_example(asked: str) -> None:
    with pytest.raises(BadInput, match="is not a number of B; write it as 1GB, 500MB or 64KiB"):
        parse_bytes(asked)


@pytest.mark.parametrize("asked", ["1Mipps", "fast", "1GB"])
def test_what_is_no_rate_is_refused_with_an_example(asked: str) -> None:
    with pytest.raises(BadInput, match="is not a number of pps; write it as 1Mpps"):
        parse_pps(asked)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("300ms", 300_000_000), ("2.5s", 2_500_000_000), ("200us", 200_000), ("200 µs", 200_000),
        ("7ns", 7), ("1min", 60 * 10**9), (".5h", 1800 * 10**9), ("0", 0),
    ],
)  # fmt: skip
def test_durations(asked: str, expected: int) -> None:
    assert parse_duration_ns(asked) == expected


@pytest.mark.parametrize("asked", ["", "300", "1m", "-1s", "ms", "1e3s", "1 hour"])
def test_what_is_no_duration_is_refused_with_an_example(asked: str) -> None:
    with pytest.raises(BadInput, match="is not a time; write it as 300ms"):
        parse_duration_ns(asked)


@pytest.mark.parametrize(
    ("asked", "bytes_per_s", "in_bits"),
    [
        ("1Gbps", 125e6, True), ("100Mbit/s", 12.5e6, True), ("200MB/s", 200e6, False),
        ("32MiB/s", 32 * 2**20, False), ("117.5 MB/s", 117.5e6, False), ("8bps", 1, True),
        ("0", 0, False),
    ],
)  # fmt: skip
def test_data_rates_know_bits_from_bytes(asked: str, bytes_per_s: float, in_bits: bool) -> None:
    assert parse_rate(asked) == (pytest.approx(bytes_per_s), in_bits)


@pytest.mark.parametrize("asked", ["", "1G", "1GB", "1Gib/s", "1Gibps", "1iB/s", "-1MB/s", "1MBps"])
def test_what_is_no_data_rate_is_refused_with_an_example(asked: str) -> None:
    with pytest.raises(BadInput, match="is not a rate; write it as 1Gbps"):
        parse_rate(asked)
