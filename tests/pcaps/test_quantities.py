from __future__ import annotations

import pytest

from pcaps.errors import BadInput
from pcaps.quantities import parse_bytes, parse_pps


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
