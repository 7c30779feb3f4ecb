"""The switch that a replay or an explanation runs on, and where its frames come in.

Either a scenario file describes it, or it is made from the captures: then every
(VLAN, unicast destination) is a VM behind one uplink, the busiest VMs get the VM
queues, and nothing that can be delivered is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nic.adapter import Adapter
from nic.profiles import PRESETS
from pcaps.errors import BadInput
from vswitch.run import Ingress
from vswitch.switch import Switch

if TYPE_CHECKING:
    from vswitch.feed import Feed
    from vswitch.host_profiles import HostProfile
    from vswitch.scenario import Scenario

DEFAULT_QUEUES = PRESETS["broadcom-1g"].num_queues
"""VM queues of a self-made adapter unless ``--queues`` says otherwise."""

UNLIMITED_BYTES = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Lab:
    """A switch, and where frames come in.

    Parameters
    ----------
    switch : Switch
        With its adapter, if it has one.
    ingress : Ingress
        Which port a captured frame comes in by.
    scenario : Scenario, optional
        What it was built from; None = made from the captures.
    frames : int, optional
        Frames of the captures, where they were counted.
    """

    switch: Switch
    ingress: Ingress
    scenario: Scenario | None = None
    frames: int | None = None

    @property
    def single_port(self) -> str | None:
        """Name of the port that all frames come in by, None where there are several."""
        number = self.ingress.constant(self.switch.network)
        return None if number is None else self.switch.network.ports[number].name


def lab_of(
    feed: Feed,
    scenario: str | None,
    *,
    mode: str = "vmq",
    queues: int | None = None,
    host: HostProfile | None = None,
) -> Lab:
    """Build the lab from a scenario, or from the captures where there is none.

    Parameters
    ----------
    feed : Feed
        The captures; read once when there is no scenario.
    scenario : str, optional
        Path of a scenario file.
    mode : str
        ``vmq``: the adapter places frames in VM queues; ``software``: it does not.
    queues : int, optional
        VM queues of the adapter.
    host : HostProfile, optional
        The host whose adapter it is, where one is modelled.

    Returns
    -------
    Lab
        Ready to decide.

    Raises
    ------
    BadInput
        When the scenario or a capture cannot be used.
    """
    if scenario is None:
        return from_captures(feed, mode=mode, queues=queues, host=host)
    return from_scenario(scenario, mode=mode, queues=queues, host=host)


def from_captures(
    feed: Feed,
    *,
    mode: str = "vmq",
    queues: int | None = None,
    host: HostProfile | None = None,
) -> Lab:
    """Make a lab from captures.

    Parameters
    ----------
    feed : Feed
        Read once to its end.
    mode : str
        ``vmq``: the adapter places frames in VM queues; ``software``: no adapter.
    queues : int, optional
        VM queues of the adapter; the host's, or :data:`DEFAULT_QUEUES`, by default.
    host : HostProfile, optional
        Release and processors of the adapter's host, where one is modelled.

    Returns
    -------
    Lab
        VMs in order of traffic, busiest first.

    Raises
    ------
    BadInput
        When a capture cannot be read, or there are more destinations than ports.
    """
    from vswitch.selfmade import StationTable, network_of

    table = StationTable()
    frames = 0
    for capture in feed.captures():
        table.add(capture)
        frames += capture.frames
    network = network_of(table.stations())
    adapter = None
    if mode == "vmq":
        adapter = _adapter_of(host, queues)
        # lengths on the wire may be any in a capture, beyond what *JumboPacket can be set to
        adapter.jumbo_packet = UNLIMITED_BYTES
    uplink = network.uplink
    assert uplink is not None
    return Lab(Switch(network, adapter), Ingress(uplink.name), None, frames)


def _adapter_of(host: HostProfile | None, queues: int | None) -> Adapter:
    """Return the adapter of a self-made scenario."""
    if host is None:
        return Adapter(num_queues=DEFAULT_QUEUES if queues is None else queues)
    own = host.queues if queues is None else queues
    return Adapter(
        profile=host.release,
        num_queues=own if host.team is None else host.team.usable_queues(own),
        max_cpus=host.processors,
    )


def from_scenario(
    path: str,
    *,
    mode: str = "vmq",
    queues: int | None = None,
    host: HostProfile | None = None,
) -> Lab:
    """Build the lab that a scenario file describes.

    Parameters
    ----------
    path : str
        The TOML file.
    mode : str
        ``software`` leaves the scenario's adapter out.
    queues : int, optional
        VM queues instead of the scenario's.
    host : HostProfile, optional
        The host that is modelled; its release must be the scenario's.

    Returns
    -------
    Lab
        Its ports as the scenario has them.

    Raises
    ------
    BadInput
        Naming every problem of the file.
    """
    from vswitch.scenario import load

    scenario = load(path)
    if host is not None and host.release != scenario.profile.name:
        raise BadInput(
            f"{path}: the scenario's profile is {scenario.profile.name}, host profile "
            f"'{host.name}' is of release {host.release}; make them the same"
        )
    adapter = scenario.adapter(queues) if mode == "vmq" else None
    if host is not None and host.vmq and adapter is None:
        raise BadInput(
            f"{path}: this switch has no adapter with VM queues, which host profile "
            f"'{host.name}' has; take a host without, or describe an external network"
        )
    if queues is not None and adapter is None:
        raise BadInput(
            f"{path}: this switch has no adapter with VM queues; drop --queues, or describe "
            "an external network of dialect hyperv"
        )
    return Lab(Switch(scenario.network(), adapter), scenario.ingress(), scenario)
