from __future__ import annotations

import pytest

from pcaps.errors import BadInput
from pcaps.sizes import SizeMix


def test_imix_is_64_594_1518_at_7_4_1() -> None:
    assert SizeMix.parse("imix") == SizeMix((64, 594, 1518), (7, 4, 1))
    assert SizeMix.parse("imix").mean == pytest.approx(361.83, abs=0.01)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("1514", SizeMix((1514,), (1,))),
        ("jumbo", SizeMix((9000,), (1,))),
        ("64:3,9000", SizeMix((64, 9000), (3, 1))),
    ],
)
def test_mixes(asked: str, expected: SizeMix) -> None:
    assert SizeMix.parse(asked) == expected


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("big", "'big' is not a size mix"),
        ("64:0", "is not a size mix"),
        ("64,,65", "is not a size mix"),
        ("20", "a frame of 20 bytes is impossible"),
        ("70000", "a frame of 70000 bytes is impossible"),
    ],
)
def test_a_size_mix_that_cannot_be_is_refused(asked: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        SizeMix.parse(asked)
