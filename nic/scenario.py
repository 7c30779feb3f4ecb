"""The ``[nic]`` section of a scenario file."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from nic.adapter import Adapter
from nic.offloads import chosen_offloads
from nic.profiles import PRESETS, Profile, preset_of
from pcaps.errors import BadInput


class NicSection(BaseModel):
    """The adapter below the external network; with 16 VM queues where the section is left out."""

    model_config = ConfigDict(extra="forbid")

    vmq: bool | None = Field(
        None, description="Whether there are VM queues; from profile r2 on, by default."
    )
    preset: str | None = Field(
        None,
        description="Take queues and filters from a known adapter: " + ", ".join(PRESETS) + ".",
    )
    queues: int | None = Field(
        None,
        ge=0,
        le=4096,
        description="VM queues besides the default queue; the preset's, or 16, by default.",
    )
    filters: int | None = Field(
        None,
        ge=0,
        description="Receive filters in all; the preset's, or as many as queues, by default.",
    )
    vlan_filter: bool = Field(True, description="Whether it tests VIDs (*VMQVlanFiltering).")
    lookahead_split: bool = Field(
        True, description="Whether it splits frames (*VMQLookaheadSplit)."
    )
    jumbo_packet: int | None = Field(
        None, ge=1514, le=65535,
        description="Longest frame in bytes with its header, without tag (*JumboPacket); the uplink's MTU + 14 by default.",
    )  # fmt: skip
    nic_drop_vlan_mismatch: bool = Field(
        False,
        description="Whether it drops frames of a known MAC with another VLAN, instead of the default queue taking them.",
    )
    queue_reassign: Literal["on_start", "immediate"] = Field(
        "on_start",
        description="When a vNIC without a queue takes a freed one: at its next start, or at once.",
    )
    base_cpu: int = Field(
        0,
        ge=0,
        le=63,
        description="Logical processor of the default queue; the VM queues follow round robin.",
    )
    max_cpus: int = Field(
        4, ge=1, le=64, description="Logical processors that the queues are spread over."
    )

    offloads: list[str] | None = Field(
        None,
        description="Offloads that are on: checksum, lso, rsc (2012), chimney (r2); checksum and lso by default.",
    )

    def build(self, profile: Profile, uplink_mtu: int | None) -> Adapter | None:
        """Return the adapter, None when it has no VM queues.

        Parameters
        ----------
        profile : Profile
            The release.
        uplink_mtu : int or None
            MTU of the uplink in bytes, None without a limit.

        Returns
        -------
        Adapter or None
            Fresh, with all queues free.

        Raises
        ------
        BadInput
            When VM queues are asked of a release that has none.
        """
        chosen_offloads(profile.name, profile.title, self.offloads)
        if self.vmq is False or (self.vmq is None and not profile.vmq):
            if self.offloads:
                raise BadInput("offloads are those of an adapter with VM queues; leave vmq on")
            return None
        if not profile.vmq:
            raise BadInput(f"profile {profile.name} ({profile.title}) has no VM queues; take r2")
        preset = preset_of(self.preset) if self.preset else None
        queues = self.queues if self.queues is not None else (preset.num_queues if preset else 16)
        filters = (
            self.filters if self.filters is not None else (preset.max_filters if preset else None)
        )
        fitting = 65535 if uplink_mtu is None else min(65535, max(1514, uplink_mtu + 14))
        return Adapter(
            profile=profile,
            num_queues=queues,
            max_filters=filters,
            vlan_filter=self.vlan_filter,
            lookahead_split=self.lookahead_split,
            jumbo_packet=self.jumbo_packet or fitting,
            nic_drop_vlan_mismatch=self.nic_drop_vlan_mismatch,
            queue_reassign=self.queue_reassign,
            base_cpu=self.base_cpu,
            max_cpus=self.max_cpus,
            offloads=self.offloads,
        )

    def offloads_on(self, profile: Profile) -> frozenset[str]:
        """Return the offloads that are on.

        Parameters
        ----------
        profile : Profile
            The release.

        Returns
        -------
        frozenset of str
            Their names; empty without an adapter, and where :meth:`build` finds a mistake.
        """
        try:
            adapter = self.build(profile, None)
        except BadInput:
            return frozenset()
        return frozenset() if adapter is None else frozenset(adapter.offloads)
