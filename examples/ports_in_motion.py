"""A network experiment: ports are changed while frames flow, and nothing is lost.

Frames to two VMs come in without end. Between the batches one VM is moved to
another VLAN, switched off, removed and connected again. Each phase shows where
its frames went, and the counters add up over all of them.
"""

from collections import Counter

from nic.adapter import Adapter
from pcaps.frames import Frames
from vswitch import Network, Port, PortKind, Switch, VlanSetting

WEB, DB = "00:15:5d:00:00:01", "00:15:5d:00:00:02"


def tagged(destination: str, vid: int) -> bytes:
    """Return a 64-byte frame from outside."""
    addresses = bytes.fromhex((destination + "02:00:00:00:00:99").replace(":", ""))
    return (addresses + b"\x81\x00" + vid.to_bytes(2, "big") + b"\x08\x00").ljust(64, b"\0")


switch = Switch(
    Network(
        ports=(
            Port(name="uplink", kind=PortKind.UPLINK),
            Port(name="web", mac=WEB, vlan=VlanSetting(vid=10)),
            Port(name="db", mac=DB, vlan=VlanSetting(vid=20)),
        )
    ),
    Adapter(num_queues=2),
)
traffic = Frames.from_bytes([tagged(WEB, 10), tagged(DB, 20)] * 500)
total: Counter[str] = Counter()


def phase(title: str) -> None:
    """Let 1000 frames pass and show what became of them."""
    result = switch.process(traffic)
    got = {row.vm: f"{row.frames} by {row.path}" for row in result.queues if row.frames}
    print(f"{title:<28} {got} {result.drops or ''}")
    total.update(result.frames)


phase("as configured")
switch.change("db", vlan=VlanSetting(vid=30))
phase("db moved to VLAN 30")
switch.change("db", vlan=VlanSetting(vid=20))
phase("and back")
switch.change("web", connected=False)
phase("web is switched off")
switch.disconnect("web")
phase("web is removed")
switch.connect(Port(name="web2", mac=WEB, vlan=VlanSetting(vid=10)))
phase("a new VM has its address")

assert total["in"] == total["unicast"] + total["flooded"] + total["dropped"]
print(f"{total['in']} frames in, {total['unicast']} delivered, {total['dropped']} dropped")
