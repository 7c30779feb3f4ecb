"""Replay TCP sessions through a move of the VM, and see which survive, and by how much.

The same from the command line:
``vswitch migrate pcaps/samples/kernel_http.pcapng --blackout 12s --stack-client windows-2008r2``.
"""

import migration
from pcaps import samples

for blackout in ("300ms", "12s"):
    done = migration.replay(
        samples.path("kernel_http"), blackout=blackout, stack_client="windows-2008r2"
    )
    print(f"a blackout of {blackout}: {done.summary()}")

# any number of sessions of a pattern; frames for the VM dropped, or held and sent on
for hold in (False, True):
    done = migration.replay(connections=20, memory="256MiB", at="1s", blackout="1s", hold=hold)
    stalls = sorted(outcome.stall_ns / 1e9 for outcome in done.outcomes)
    least = min(outcome.margin_ns for outcome in done.outcomes) / 1e9
    print(
        f"{'held' if hold else 'dropped'}: stalls {stalls[0]:.2f} to {stalls[-1]:.2f} s; "
        f"the first one dies {least:.0f} s later"
    )

# what became of each frame is counted, and adds up
print(done.simulation.balance())
