"""The scenario file: hosts, networks, adapters, VMs and expectations in one TOML file.

All problems of a file are found in one go and reported together, each with its
line. What comes out is plain records: :class:`vswitch.ports.Network` and the
adapter's settings.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from nic.adapter import Adapter
from nic.jumbo import disagreement
from nic.profiles import Profile
from nic.scenario import NicSection
from pcaps.errors import BadInput
from vswitch.expect import check_expectations
from vswitch.ports import Dialect, Network
from vswitch.problems import Problem, ScenarioError, unknown
from vswitch.scenario_models import ExpectSection, ReplaySection
from vswitch.toml_lines import line_numbers

if TYPE_CHECKING:
    from vswitch.run import Ingress


@dataclass(frozen=True)
class Scenario:
    """A scenario, checked.

    Parameters
    ----------
    name : str
        Its name, or the file's.
    profile : Profile
        The release.
    networks : tuple of Network
        At least one.
    nic : NicSection, optional
        The adapter's settings; None = the file has no ``[nic]``.
    without_queue : frozenset of str
        VMs that ask for no VM queue.
    replay : ReplaySection
        Where frames come in.
    expect : ExpectSection
        What must hold.
    mounted : mapping of str to BaseModel
        Sections of packages that use this one, where the file has them.
    lines : dict
        Where each key stands, as from :func:`vswitch.toml_lines.line_numbers`.
    """

    name: str
    profile: Profile
    networks: tuple[Network, ...]
    nic: NicSection | None = None
    without_queue: frozenset[str] = frozenset()
    replay: ReplaySection = field(default_factory=ReplaySection)
    expect: ExpectSection = field(default_factory=ExpectSection)
    mounted: Mapping[str, BaseModel] = field(default_factory=dict)
    lines: dict[tuple[str | int, ...], int] = field(default_factory=dict, repr=False)

    def network(self, name: str | None = None) -> Network:
        """Return one network.

        Parameters
        ----------
        name : str, optional
            Which; the one that ``[replay]`` names, the external one, or the first.

        Returns
        -------
        Network
            Its ports and settings.

        Raises
        ------
        BadInput
            When there is none of that name.
        """
        name = name or self.replay.network
        if name is None:
            external = (one for one in self.networks if one.uplink is not None)
            return next(external, self.networks[0])
        for network in self.networks:
            if network.name == name:
                return network
        raise BadInput(unknown("network", name, [one.name for one in self.networks]))

    def ingress(self) -> Ingress:
        """Return by which port the frames of a capture come in.

        Returns
        -------
        Ingress
            As ``[replay]`` says; the uplink, or the first port, by default.

        Raises
        ------
        BadInput
            When the network has no ports.
        """
        from vswitch.run import Ingress

        network = self.network()
        if not network.ports:
            raise BadInput(f"{self.name}: network '{network.name}' has no ports; add a [[vm]]")
        port = self.replay.ingress or (network.uplink or network.ports[0]).name
        return Ingress(port, {one.number: one.port for one in self.replay.interface})

    def adapter(self, queues: int | None = None) -> Adapter | None:
        """Return a fresh adapter, None where the scenario has no VM queues.

        Parameters
        ----------
        queues : int, optional
            VM queues, instead of the scenario's.

        Returns
        -------
        Adapter or None
            With all queues free. Without ``[nic]``, profiles r2 and 2012 have an
            adapter of 16 queues.
        """
        network = self.network()
        if network.uplink is None or network.dialect is Dialect.LEARNING:
            return None
        section = self.nic or NicSection()
        if queues is not None:
            section = section.model_copy(update={"queues": queues, "filters": None})
        adapter = section.build(self.profile, network.uplink.mtu)
        if adapter is not None:
            adapter.unwanted = self.without_queue
        return adapter

    def notes(self) -> list[str]:
        """Return what is sound but may surprise, one sentence each.

        Returns
        -------
        list of str
            Of the network that is replayed.
        """
        ports = self.network().ports
        said = disagreement({port.name: port.mtu for port in ports if port.mtu is not None})
        return [] if said is None else [said]

    def check(self, summary: dict[str, Any]) -> list[str]:
        """Return what of ``[expect]`` does not hold, one sentence each.

        Parameters
        ----------
        summary : dict
            As from :meth:`vswitch.results.Result.summary`.

        Returns
        -------
        list of str
            Empty when all holds.
        """
        return check_expectations(self.expect, summary)


def load(path: str | Path) -> Scenario:
    """Read a scenario file.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.

    Returns
    -------
    Scenario
        Checked.

    Raises
    ------
    BadInput
        When it cannot be read; a :class:`ScenarioError` naming every problem.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; 'vswitch scenario init' begins one") from None
    except IsADirectoryError:
        raise BadInput(f"{path}: is a directory; name a scenario file") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 text at byte {error.start}") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from None
    return loads(text, str(path))


def loads(text: str, name: str = "scenario") -> Scenario:
    """Read a scenario from text.

    Parameters
    ----------
    text : str
        TOML.
    name : str
        What messages call it.

    Returns
    -------
    Scenario
        Checked.

    Raises
    ------
    ScenarioError
        Naming every problem.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        line = int(found[1]) if found else len(text.splitlines()) or 1
        raise ScenarioError(name, [Problem(line, "file", f"not TOML: {error}")]) from None
    except RecursionError:
        problem = Problem(1, "file", "not TOML that can be read: nested too deeply")
        raise ScenarioError(name, [problem]) from None
    from vswitch.scenario_builder import ScenarioBuilder

    return ScenarioBuilder(raw, line_numbers(text), name).build()
