"""Send a scapy packet into the switch and look at what leaves, as scapy packets.

A VM in VLAN 20 sends a ping to everybody: the other VM of its VLAN gets it
without a tag, the uplink with one, the VM of another VLAN not at all.
"""

from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Dot1Q, Ether

from vswitch import Network, Port, PortKind, Switch, VlanSetting

switch = Switch(
    Network(
        ports=(
            Port(name="uplink", kind=PortKind.UPLINK),
            Port(name="vm1", mac="00:15:5d:00:00:01", vlan=VlanSetting(vid=20)),
            Port(name="vm2", mac="00:15:5d:00:00:02", vlan=VlanSetting(vid=20)),
            Port(name="vm3", mac="00:15:5d:00:00:03", vlan=VlanSetting(vid=30)),
        )
    )
)
ping = (
    Ether(src="00:15:5d:00:00:01", dst="ff:ff:ff:ff:ff:ff")
    / IP(src="10.0.0.1", dst="10.0.0.255")
    / ICMP()
)

for port, frame in switch.send(ping, "vm1"):
    packet = frame.to_scapy()
    tag = f"VLAN {packet[Dot1Q].vlan}" if Dot1Q in packet else "untagged"
    print(f"{port}: {tag}, {packet.summary()}")
