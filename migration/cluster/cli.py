"""``vswitch cluster``: a failover cluster validated, run for a day, moved in, and broken."""

from __future__ import annotations

import click

from migration.cluster.cli_faults import faults
from migration.cluster.cli_move import move
from migration.cluster.cli_run import run
from migration.cluster.cli_validate import validate

_GROUP = """
\b
Examples:
  vswitch cluster validate examples/scenarios/cluster-two-nodes.toml
  vswitch cluster move examples/scenarios/cluster-two-nodes.toml web1 node2
  vswitch cluster run examples/scenarios/cluster-two-nodes.toml -o day
  vswitch cluster faults --moves 1000
  vswitch cluster COMMAND --help                  more examples
"""


@click.group(epilog=_GROUP)
def cluster() -> None:
    """A failover cluster: who may move where, who decides, and what happens when something breaks."""


for _command in (validate, move, run, faults):
    cluster.add_command(_command)
