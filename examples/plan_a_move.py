"""Move a VM in three ways, and see where its blackout comes from.

The same from the command line:
``vswitch plan --memory 2GiB --working-set 256MiB --dirty 50MB/s --pattern zipf --compare live,quick,postcopy``.
"""

from migration import postcopy, precopy, quick, working_set
from migration.announce import announce_frame, announce_times
from migration.links import payload_rate
from pcaps.addresses import mac_to_key

GIB, MIB = 2**30, 2**20
guest = working_set.zipf(256 * MIB, 50e6)  # 50 MB/s of pages; a few are written most often
settings = {
    "memory_bytes": 2 * GIB,
    "working_set": guest,
    "link_bytes_per_s": payload_rate(1e9),
}

live = precopy.plan(**settings, downtime_limit_ns=100_000_000)
for move in (live, postcopy.plan(**settings), quick.plan(memory_bytes=2 * GIB)):
    assert move.memory_equal  # every page was compared
    waits = sum(stop - start for start, stop in move.brownout)
    print(
        f"{move.kind:<9} {move.total_ns / 1e9:7.2f} s in all, blackout {move.blackout_ns / 1e6:9.1f} ms, "
        f"then waits of {waits / 1e6:7.1f} ms"
    )

print("blackout of the live one:", {name: f"{ns / 1e6:.1f} ms" for name, ns in live.parts.items()})

predicted = precopy.predict(**settings, downtime_limit_ns=100_000_000)
print(f"predicted {predicted.total_s:.2f} s, simulated {live.total_ns / 1e9:.2f} s")

# a guest that writes faster than the link carries: why, and what would help
print(precopy.plan(**settings | {"working_set": working_set.uniform(GIB, 300e6)}, pages=False).why)

first_ns, kind = announce_times(live.announce)[0]
frame = announce_frame(kind, mac_to_key("00:15:5d:00:00:01"))
print(f"{kind} of {len(frame)} bytes {first_ns / 1e6:g} ms after the start: {frame[:22].hex(' ')}")
