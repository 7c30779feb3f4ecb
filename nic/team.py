"""Teams of adapters: how many VM queues a team has, and which processors each member may use.

Sources: NDIS_RECEIVE_FILTER_CAPABILITIES (flags for the sum and the minimum of
queues; read), cancom VMQ part 2 and cloudscaping.co.uk (which teams are which; read).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pcaps.errors import BadInput

MOST_MEMBERS = 32
TEAMING = ("switch-independent", "static", "lacp")
BALANCING = ("hyperv-port", "dynamic", "address-hash")


@dataclass(frozen=True, slots=True)
class Team:
    """A team of like adapters.

    Parameters
    ----------
    members : int
        2 to 32.
    teaming : str
        ``switch-independent``, ``static`` or ``lacp``.
    balancing : str
        ``hyperv-port``, ``dynamic`` or ``address-hash``.

    Raises
    ------
    BadInput
        When there is no such team.
    """

    members: int
    teaming: str = "switch-independent"
    balancing: str = "hyperv-port"

    def __post_init__(self) -> None:
        if not 2 <= self.members <= MOST_MEMBERS:
            raise BadInput(f"a team of {self.members} adapters: use 2 to {MOST_MEMBERS}")
        for what, known in (("teaming", TEAMING), ("balancing", BALANCING)):
            if getattr(self, what) not in known:
                raise BadInput(
                    f"team {what} '{getattr(self, what)}' does not exist; use one of {', '.join(known)}"
                )

    @property
    def sums(self) -> bool:
        """Whether the members' queues add up; otherwise each VM has a queue on every member.

        Rule: a VM's frames come by one member only where the switch outside is not
        asked and the team balances by the VMs' ports.
        """
        return self.teaming == "switch-independent" and self.balancing != "address-hash"

    def usable_queues(self, queues: int) -> int:
        """Return how many VM queues the team has.

        Parameters
        ----------
        queues : int
            Of each member.

        Returns
        -------
        int
            Their sum, or their minimum.
        """
        return queues * self.members if self.sums else queues

    def member_of(self, queue: int, queues: int) -> int | None:
        """Return which member has a VM queue.

        Parameters
        ----------
        queue : int
            Number of the VM queue in the team, from 1.
        queues : int
            VM queues of each member.

        Returns
        -------
        int or None
            From 0; None where every member has it.
        """
        return (queue - 1) // max(queues, 1) if self.sums else None

    def processors_of(self, member: int, processors: Sequence[int]) -> Sequence[int]:
        """Return the processors that a member's queues may use.

        Parameters
        ----------
        member : int
            From 0.
        processors : sequence of int
            Those of the whole team.

        Returns
        -------
        sequence of int
            Rule: sets that do not overlap where queues add up, else one set for all.

        Raises
        ------
        BadInput
            When there are fewer processors than members.
        """
        if not self.sums:
            return processors
        if len(processors) < self.members:
            raise BadInput(
                f"a sum-of-queues team of {self.members} adapters needs as many processors for "
                f"its queues, whose sets may not overlap; there are {len(processors)}"
            )
        share = len(processors) // self.members
        return processors[member * share : (member + 1) * share]
