"""Replay pcap files through the switch and read the counters.

    python examples/replay_captures.py capture.pcap [more.pcap ...]

Without arguments it takes a sample that is shipped. The same from the command
line: ``vswitch replay capture.pcap -o out``.
"""

import sys

from pcaps import samples
from vswitch.replay import Job, run

captures = sys.argv[1:] or [str(samples.path("office"))]
done = run(Job(captures=captures, mode="vmq", queues=8))

print(done.result)
for row in done.result.queues[:5]:
    vlan = "untagged" if row.vlan is None else f"VLAN {row.vlan}"
    print(f"{row.vm}: {row.mac} {vlan}, {row.path} queue {row.queue}: {row.frames} frames")
for drop in done.first_drops():
    print(f"dropped {drop['frames']} for {drop['reason']}, see: {drop['explain']}")
