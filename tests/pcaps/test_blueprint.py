from __future__ import annotations

import numpy as np
import pytest

from pcaps.blueprint import (
    LONGEST_PAYLOAD,
    PERIOD,
    TCP,
    UDP,
    as_scapy,
    blueprint,
    build,
    ip_word,
    join,
    text,
)
from pcaps.copies import tag_word


@pytest.mark.parametrize("seed", range(3))
def test_every_built_frame_is_what_scapy_builds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 150
    tag = rng.choice([0, tag_word(0x8100, 0x6014), tag_word(0x88A8, 7)], n)
    plan = blueprint(
        n,
        ts_ns=np.arange(n),
        template=rng.integers(0, 4, n),
        payload_bytes=rng.choice([0, 1, 2, 3, 17, 600, 1460, 9000], n),
        payload_at=rng.integers(0, PERIOD, n),
        destination=rng.integers(0, 2**48, n),
        source=rng.integers(0, 2**48, n),
        tag=tag,
        inner_tag=(tag != 0) * rng.choice([0, tag_word(0x8100, 30)], n),
        source_ip=rng.integers(0, 2**32, n),
        destination_ip=rng.integers(0, 2**32, n),
        source_port=rng.integers(0, 2**16, n),
        destination_port=rng.integers(0, 2**16, n),
        ip_id=rng.integers(0, 2**16, n),
        sequence=rng.integers(0, 2**32, n),
        acknowledgment=rng.integers(0, 2**32, n),
        flags=rng.integers(0, 256, n),
        window=rng.integers(0, 2**16, n),
    )
    dirty = np.full(int(plan.length.sum()) + 64, 0xEE, np.uint8)
    frames = build(plan, buffer=dirty)
    assert frames.padded
    for number in range(n):
        assert frames[number].data == bytes(as_scapy(plan, number)), number


def test_a_udp_checksum_of_zero_is_sent_as_ffff() -> None:
    plan = blueprint(1, template=UDP, destination_port=9)
    without = int.from_bytes(build(plan)[0].data[40:42], "big")
    # adding the checksum itself to a summed field makes the sum all ones
    plan = blueprint(1, template=UDP, destination_port=9, source_port=without)
    frame = build(plan)[0].data
    assert frame[40:42] == b"\xff\xff"
    assert frame == bytes(as_scapy(plan, 0))


def test_the_longest_payload_is_built() -> None:
    plan = blueprint(1, template=UDP, payload_bytes=LONGEST_PAYLOAD, payload_at=PERIOD - 1)
    assert build(plan)[0].data == bytes(as_scapy(plan, 0))


@pytest.mark.parametrize(("tag", "length"), [(0, 60), (tag_word(0x8100, 5), 64)])
def test_short_frames_are_padded_so_that_they_stay_legal_without_their_tag(
    tag: int, length: int
) -> None:
    assert build(blueprint(1, template=TCP, tag=tag))[0].wirelen == length


def test_an_empty_blueprint_is_an_empty_batch() -> None:
    assert len(build(blueprint(0))) == 0


def test_joined_blueprints_are_in_order_of_time() -> None:
    whole = join([blueprint(3, ts_ns=[1, 5, 9]), blueprint(2, ts_ns=[5, 0], ip_id=7)])
    assert whole.ts_ns.tolist() == [0, 1, 5, 5, 9]
    assert whole.ip_id.tolist() == [7, 0, 0, 7, 0]


def test_the_text_is_that_of_the_character_generator() -> None:
    lines = text()[:PERIOD].tobytes().split(b"\r\n")
    assert lines[0].startswith(b' !"#$%&')
    assert lines[1].startswith(b'!"#$%&')
    assert {len(line) for line in lines[:95]} == {72}
    assert bytes(text()[PERIOD : 2 * PERIOD]) == bytes(text()[:PERIOD])


def test_ip_word_is_the_wire_order() -> None:
    assert ip_word("10.0.0.1").to_bytes(4, "little") == bytes([10, 0, 0, 1])
