"""Which host a replay runs on, and how fast frames come to it: the options of a command, checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pcaps.errors import BadInput
from vswitch.arrivals import Pace
from vswitch.host_profiles import HostProfile, host_profile


@dataclass(frozen=True, slots=True)
class HostChoice:
    """A host and a pace.

    Parameters
    ----------
    profile : HostProfile
        The host.
    pace : Pace
        How fast frames arrive; by their timestamps by default.
    """

    profile: HostProfile
    pace: Pace = field(default_factory=Pace)

    @classmethod
    def from_options(
        cls,
        host: str | None,
        *,
        rate: str | None = None,
        speed: str | None = None,
        processors: int | None = None,
    ) -> HostChoice | None:
        """Read the options ``--host``, ``--rate``, ``--speed`` and ``--processors``.

        Parameters
        ----------
        host : str, optional
            Name of a host profile, or a file; None = no host is modelled.
        rate, speed : str, optional
            As for :meth:`vswitch.arrivals.Pace.parse`.
        processors : int, optional
            Logical processors instead of the profile's.

        Returns
        -------
        HostChoice or None
            None where no host is asked for.

        Raises
        ------
        BadInput
            When an option cannot be read, or needs ``--host``.
        """
        if host is None:
            asked = {"--rate": rate, "--speed": speed, "--processors": processors}
            for option, value in asked.items():
                if value is not None:
                    raise BadInput(
                        f"{option} needs a host that frames come to; add --host r2, or another profile"
                    )
            return None
        return cls(host_profile(host).with_processors(processors), Pace.parse(rate, speed))

    @property
    def mode(self) -> str:
        """``vmq`` or ``software``, as the host has it."""
        return "vmq" if self.profile.vmq else "software"

    def check_mode(self, mode: str | None, queues: int | None) -> None:
        """Raise when other options ask for another host than this.

        Parameters
        ----------
        mode : str, optional
            As given with ``--mode``.
        queues : int, optional
            As given with ``--queues``.

        Raises
        ------
        BadInput
            Naming both.
        """
        name = self.profile.name
        if mode is not None and mode != self.mode:
            has = "has VM queues" if self.profile.vmq else "has no VM queues"
            raise BadInput(f"--host {name} {has}; drop --mode {mode}, or take another host")
        if queues is not None and not self.profile.vmq:
            raise BadInput(
                f"--host {name} has no VM queues; drop --queues, or take one that has, such as r2-vmq"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what was asked for, as in the JSON output."""
        return {"profile": self.profile.to_dict(), "requested": self.pace.to_dict()}
