"""Everything that a planned move is asked with, settled once, for any kind of move.

Each kind takes what concerns it: a comparison of live, quick and post-copy is one set of settings
planned three times.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, get_args

from migration import postcopy, precopy, quick
from migration.announce import announcement
from migration.copied import Tell
from migration.links import Link
from migration.memory import ZerosAt
from migration.move import Kind, Move
from migration.policies import RateRule, policy
from migration.predictor import Prediction
from migration.working_set import WorkingSet
from pcaps.errors import BadInput

KINDS: tuple[Kind, ...] = get_args(Kind)
POSTCOPY_POLICY = "qemu"
"""The one policy that has a post-copy."""


@dataclass(frozen=True)
class MoveSettings:
    """How a VM is to be moved.

    Parameters
    ----------
    memory_bytes : int
    link : Link
        What the move has of it.
    kind : {"live", "quick", "postcopy"}
    policy : str
    working_set : WorkingSet
    zero_pages : int
    zeros_at : {"end", "spread", "start"}
    cap_bytes_per_s : float, optional
    downtime_limit_ns : int, optional
    pass_cap : int, optional
    auto_converge : bool
    rate_rule : {"source", "paper"}, optional
    postcopy_at_ns : int, optional
        Switch to post-copy then; None: after the first pass.
    storage_bytes_per_s : float
        Of a Quick Migration.
    announce : str, optional
        See :mod:`migration.announce`; None for the policy's own.
    give_up_ns : int
    seed : int
    pages : bool
        Page by page with proof, or by counts.
    """

    memory_bytes: int
    link: Link
    kind: Kind = "live"
    policy: str = "qemu"
    working_set: WorkingSet = field(default_factory=WorkingSet)
    zero_pages: int = 0
    zeros_at: ZerosAt = "end"
    cap_bytes_per_s: float | None = None
    downtime_limit_ns: int | None = None
    pass_cap: int | None = None
    auto_converge: bool = False
    rate_rule: RateRule | None = None
    postcopy_at_ns: int | None = None
    storage_bytes_per_s: float = quick.STORAGE_BYTES_PER_S
    announce: str | None = None
    give_up_ns: int = precopy.GIVE_UP_NS
    seed: int = 0
    pages: bool = True

    def __post_init__(self) -> None:
        policy(self.policy)
        if self.announce is not None:
            announcement(self.announce)

    def _shared(self) -> dict[str, Any]:
        return {
            "memory_bytes": self.memory_bytes,
            "working_set": self.working_set,
            "zero_pages": self.zero_pages,
            "link_bytes_per_s": self.link,
            "cap_bytes_per_s": self.cap_bytes_per_s,
            "downtime_limit_ns": self.downtime_limit_ns,
        }

    def plan(self, kind: Kind | None = None, tell: Tell | None = None) -> Move:
        """Plan the move.

        Parameters
        ----------
        kind : {"live", "quick", "postcopy"}, optional
            Another kind than the settings'.
        tell : callable, optional
            Told of the progress after every pass.

        Returns
        -------
        Move
        """
        kind = self.kind if kind is None else kind
        if kind == "quick":
            return quick.plan(
                memory_bytes=self.memory_bytes,
                storage_bytes_per_s=self.storage_bytes_per_s,
                announce=self.announce or quick.ANNOUNCE,
                pages=self.pages,
            )
        chosen = policy(self.policy if kind == "live" else POSTCOPY_POLICY)
        if self.announce is not None:
            chosen = chosen.announced_by(self.announce)
        if kind == "postcopy":
            if self.policy != POSTCOPY_POLICY:
                raise BadInput(
                    f"policy {self.policy} has no post-copy; take --policy {POSTCOPY_POLICY}"
                )
            return postcopy.plan(
                **self._shared(),
                zeros_at=self.zeros_at,
                policy=chosen,
                auto_converge=self.auto_converge,
                start_at_ns=self.postcopy_at_ns,
                give_up_ns=self.give_up_ns,
                seed=self.seed,
                tell=tell,
            )
        return precopy.plan(
            **self._shared(),
            zeros_at=self.zeros_at,
            policy=chosen,
            pass_cap=self.pass_cap,
            auto_converge=self.auto_converge,
            rate_rule=self.rate_rule,
            give_up_ns=self.give_up_ns,
            pages=self.pages,
            seed=self.seed,
            tell=tell,
        )

    def predict(self) -> Prediction:
        """Predict the move as a live one, without simulating it."""
        return precopy.predict(**self._shared(), policy=self.policy)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON has them."""
        chosen = policy(self.policy)
        cap = precopy.cap_of(chosen, self.cap_bytes_per_s)
        return {
            "memory_bytes": self.memory_bytes,
            "working_set_bytes": self.working_set.pages * 4096,
            "dirty_bytes_per_s": self.working_set.bytes_per_s,
            "zero_pages": self.zero_pages,
            "zeros_at": self.zeros_at,
            "link_bytes_per_s": self.link.at(0),
            "cap_bytes_per_s": None if math.isinf(cap) else cap,
            "downtime_limit_s": precopy.limit_of(chosen, self.downtime_limit_ns) / 1e9,
            "policy": self.policy,
            "pass_cap": self.pass_cap if self.pass_cap is not None else chosen.max_rounds,
            "auto_converge": self.auto_converge,
            "storage_bytes_per_s": self.storage_bytes_per_s,
            "seed": self.seed,
            "pages": self.pages,
        }
