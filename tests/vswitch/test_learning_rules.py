"""Rules of dialect ``learning`` that random frames rarely meet."""

import pytest

from pcaps.addresses import mac_to_key
from pcaps.frames import Frames
from vswitch.explain import twin_of
from vswitch.ports import Dialect, Network, Port, VlanMode, VlanSetting
from vswitch.switch import Switch
from vswitch.verdict import DropReason, Verdict

NETWORK = Network(
    ports=tuple(
        Port(name=name, vlan=VlanSetting(mode=VlanMode.TRUNK)) for name in ("left", "right")
    ),
    dialect=Dialect.LEARNING,
)
RESERVED = (
    *(f"01-80-C2-00-00-{n:02X}" for n in range(16)),
    "00-E0-2B-00-00-00", "00-E0-2B-00-00-04", "00-E0-2B-00-00-06",
    "01-00-0C-00-00-00", "01-00-0C-CC-CC-CC", "01-00-0C-CC-CC-CD", "01-00-0C-CD-CD-CD",
    *(f"01-00-0C-CC-CC-C{n}" for n in range(8)),
)  # fmt: skip
BESIDE = (
    "01-80-C2-00-00-10", "00-E0-2B-00-00-01", "00-E0-2B-00-00-05", "00-E0-2B-00-00-07",
    "00-E0-2B-01-00-00", "01-00-0C-00-00-01", "01-00-0C-CC-CC-C8", "01-00-0C-CC-CC-CB",
    "01-00-0C-CC-CC-CE", "01-00-0C-CD-CD-CC", "01-00-0C-CC-CD-CC", "01-00-0C-CC-CC-BF",
)  # fmt: skip


def both(destination):
    """Verdict and reason of a frame to an address, by the compiled path and by the twin."""
    data = bytes.fromhex(destination.replace("-", "") + "0200000000010800").ljust(60, b"\0")
    batch = Frames.from_bytes([data])
    result = Switch(NETWORK).process(batch, ingress="left")
    outcome = twin_of(NETWORK, None).decide(batch[0], 0)
    word = int(result.words[0])
    verdict = Verdict(word >> 16 & 3)
    reason = DropReason(word & 0xFF) if verdict is Verdict.DROPPED else None
    assert (verdict, reason) == (outcome.verdict, outcome.reason)
    return verdict, reason


@pytest.mark.parametrize("destination", RESERVED)
def test_reserved_destination_is_never_forwarded(destination):
    assert both(destination) == (Verdict.DROPPED, DropReason.RESERVED_DESTINATION)


@pytest.mark.parametrize("destination", BESIDE)
def test_address_beside_a_reserved_one_is_ordinary(destination):
    assert both(destination) == (Verdict.FLOODED, None)


def test_addresses_are_those_of_the_list():
    assert len({mac_to_key(address) for address in RESERVED}) == 16 + 3 + 4 + 8
