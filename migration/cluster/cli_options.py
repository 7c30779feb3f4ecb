"""Options that several commands of ``vswitch cluster`` have."""

from __future__ import annotations

import click

seed_option = click.option(
    "--seed", metavar="N", type=click.IntRange(0), default=0, show_default=True,
    help="Of all that is drawn.",
)  # fmt: skip
