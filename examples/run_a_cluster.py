"""Run a cluster for a day, with what moves its VMs and without it, and ask why each VM was moved."""

from pathlib import Path

from migration.cluster.day import run
from migration.cluster.scenario import load_cluster
from migration.cluster.wizard import validate

cluster = load_cluster(Path(__file__).parent / "scenarios" / "cluster-two-nodes.toml")
print("sound" if validate(cluster).sound else "not sound")

for mover in (False, True):
    day = run(cluster, hours=24, seed=1, mover=mover)
    minutes = day.summary()["overload_min"]["processors"]
    print(f"mover {mover}: {minutes:.0f} host-minutes overloaded, {len(day.moves)} moves")

names = [host.name for host in cluster.hosts]
for move in day.moves:
    print(f"{cluster.vms[move.vm].name}: {move.reason}; {move.choice.sentence(names)}")
