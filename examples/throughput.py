"""How fast does the switch decide here? Software path against VMQ, small frames against a mix.

    python examples/throughput.py [FRAMES]

The traffic is made in memory, spread evenly over VMs and VLANs. Numbers are per
second of processor time, of one thread. ``benchmarks/fastpath.py`` measures more.
"""

import sys

from nic.adapter import Adapter
from pcaps.sizes import SizeMix
from pcaps.traffic import TrafficPlan, synthesise, vm_mac
from vswitch import Network, Port, PortKind, Switch, VlanSetting

VMS, VLANS = 256, 16
frames_wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000

uplink = Port(name="uplink", kind=PortKind.UPLINK, mtu=None)
vms = (
    Port(name=f"vm{n + 1}", mac=int(vm_mac(n)), vlan=VlanSetting(vid=100 + n % VLANS))
    for n in range(VMS)
)
network = Network(ports=(uplink, *vms))

print(f"{VMS} VMs in {VLANS} VLANs\n{'sizes':<6} {'path':<9} {'Mpps':>7} {'Gbit/s':>7}")
for sizes in ("64", "imix"):
    plan = TrafficPlan(frames=frames_wanted, sizes=SizeMix.parse(sizes), vms=VMS, vlans=VLANS)
    batches = list(synthesise(plan))
    for path, adapter in (("software", None), ("vmq", Adapter(num_queues=VMS))):
        switch = Switch(network, adapter)
        switch.process(batches[0][:1], keep=False)  # compiles the kernels, or loads them
        results = [switch.process(batch, keep=False) for batch in batches]
        cpu_s = sum(result.measured.cpu_s for result in results)
        frames = sum(result.frames["unicast"] for result in results)
        bits = sum(result.tally.bytes_wire for result in results) * 8
        assert frames == frames_wanted  # every frame has reached its VM
        print(f"{sizes:<6} {path:<9} {frames / cpu_s / 1e6:7.1f} {bits / cpu_s / 1e9:7.1f}")
