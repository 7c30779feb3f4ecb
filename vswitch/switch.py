"""``Switch``: the library's face. Frames in, verdicts and counters out.

>>> from vswitch import Switch
>>> switch = Switch.from_toml("examples/scenarios/two-vms.toml")  # doctest: +SKIP
>>> result = switch.process(pcaps.open("capture.pcap"))  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nic.adapter import Adapter
from pcaps.capture import Capture
from pcaps.errors import BadInput
from pcaps.frames import Frame, Frames
from vswitch.engine import Compiled, Decided, Engine
from vswitch.ports import Network, Port, PortKind
from vswitch.queues import give_queues
from vswitch.results import Result, Stopwatch
from vswitch.run import Ingress, run_capture
from vswitch.tally import Tally

Consumer = Callable[[Decided], None]


class Switch:
    """A virtual switch, with or without an adapter that has VM queues.

    Parameters
    ----------
    network : Network
        Settings and ports.
    adapter : nic.adapter.Adapter, optional
        The adapter below the uplink; None = software switch only. Every vNIC
        that can have a VM queue asks for one, in port order.

    Notes
    -----
    Ports may be connected, changed and disconnected while another thread is
    inside :meth:`process`: it takes the new ports from its next batch on.
    """

    def __init__(self, network: Network, adapter: Adapter | None = None) -> None:
        self.adapter = adapter
        if adapter is not None:
            give_queues(network, adapter)
        self.engine = Engine(network, adapter)

    @classmethod
    def from_toml(cls, path: str | Path, network: str | None = None) -> Switch:
        """Build the switch that a scenario file describes.

        Parameters
        ----------
        path : str or pathlib.Path
            The TOML file.
        network : str, optional
            Which of its networks; its external one, or its only one, by default.

        Returns
        -------
        Switch
            With the scenario's adapter, if it has VM queues.

        Raises
        ------
        BadInput
            Naming every problem of the file.
        """
        from vswitch.scenario import load

        scenario = load(path)
        return cls(scenario.network(network), scenario.adapter())

    @property
    def network(self) -> Network:
        """The ports as they are now."""
        return self.engine.compiled.network

    @property
    def compiled(self) -> Compiled:
        """What the next batch will be decided with."""
        return self.engine.compiled

    def connect(self, port: Port) -> None:
        """Add a port; it asks the adapter for a VM queue.

        Parameters
        ----------
        port : Port
            The new port; its number is behind the existing ones.

        Raises
        ------
        BadInput
            When its name or address is taken.
        """
        self._swap([*self.network.ports, port])

    def disconnect(self, name: str) -> None:
        """Remove a port; its VM queue is freed.

        Parameters
        ----------
        name : str
            Name of the port.

        Raises
        ------
        BadInput
            When there is no such port.
        """
        self.network.number_of(name)
        if self.adapter is not None and self.adapter.queue_of(name) is not None:
            self.adapter.release_queue(name)
        self._swap([port for port in self.network.ports if port.name != name])

    def change(self, name: str, **settings: Any) -> None:
        """Change settings of a port, such as ``vlan=``, ``mtu=`` or ``connected=``.

        Parameters
        ----------
        name : str
            Name of the port.
        **settings
            Fields of :class:`vswitch.ports.Port`.

        Raises
        ------
        BadInput
            When there is no such port or the new settings clash.
        """
        number = self.network.number_of(name)
        ports = list(self.network.ports)
        ports[number] = replace(ports[number], **settings)
        moved = {"mac", "vlan", "name"} & settings.keys()
        if moved and self.adapter is not None and self.adapter.queue_of(name) is not None:
            self.network.with_ports(ports)  # a clash must show before the queue is given up
            self.adapter.release_queue(name)
        self._swap(ports)

    def _swap(self, ports: Iterable[Port]) -> None:
        network = self.network.with_ports(ports)
        if self.adapter is not None:
            give_queues(network, self.adapter)
        self.engine.rebuild(network)

    def process(
        self,
        source: Any,
        *,
        ingress: str | Ingress | npt.NDArray[np.uint16] | None = None,
        jobs: int = 1,
        keep: bool = True,
        consume: Consumer | None = None,
    ) -> Result:
        """Decide all frames of a capture, a batch, or scapy packets.

        Parameters
        ----------
        source : Capture, Frames, scapy packet(s), or bytes
            What to decide.
        ingress : str, Ingress or numpy.ndarray, optional
            Where frames come in: a port's name, ``"source-mac"`` (frames of a
            vNIC's address come from that vNIC, others from the uplink), an
            :class:`vswitch.run.Ingress`, or one port number a frame. The uplink
            by default, or the first port where there is none.
        jobs : int
            Threads; any number gives the same result.
        keep : bool
            Whether the result keeps columns frame by frame (about 40 bytes a
            frame); without, memory is bounded whatever the capture's size.
        consume : callable, optional
            Called with each decided batch, in order; it must not keep it.

        Returns
        -------
        Result
            Counters, and columns where they were kept.
        """
        tally, kept = Tally(), []
        watch = Stopwatch()

        def take(decided: Decided) -> None:
            tally.add(decided.compiled.network, decided.stats, decided.number - 1)
            if keep:
                kept.append(_own_copy(decided))
            if consume is not None:
                consume(decided)

        if isinstance(source, Capture):
            run_capture(
                self.engine, source, self._ingress(ingress), take,
                jobs=jobs, columns=keep or consume is not None,
            )  # fmt: skip
        else:
            frames = _as_frames(source)
            if isinstance(ingress, np.ndarray):
                in_ports = ingress
            else:
                in_ports = self._ingress(ingress).ports_of(self.network, frames)
            take(self.engine.decide(frames, in_ports))
        return Result(self.compiled, tally, watch.measured(), kept)

    def send(
        self, frame: bytes | Frame | Any, port: str, ts_ns: int = 0
    ) -> list[tuple[str, Frame]]:
        """Send one frame into a port and return what leaves.

        Parameters
        ----------
        frame : bytes, Frame or scapy packet
            The frame.
        port : str
            Name of the port that it comes in by.
        ts_ns : int
            Time of arrival in nanoseconds (ageing of learned addresses).

        Returns
        -------
        list of (str, Frame)
            Port name and the frame as it leaves there, in port order.
        """
        from vswitch.copies import copies_of

        if isinstance(frame, Frame):
            frames = Frames.from_bytes([frame.data], wirelen=[frame.wirelen], ts_ns=[ts_ns])
        elif isinstance(frame, bytes):
            frames = Frames.from_bytes([frame], ts_ns=[ts_ns])
        else:
            frames = Frames.from_scapy(frame)
        number = self.network.number_of(port)
        decided = self.engine.decide(frames, np.array([number], np.uint16))
        return [
            (self.network.ports[copy.port].name, copy.leave(frames[0]))
            for _, copy in copies_of(decided)
        ]

    def _ingress(self, given: str | Ingress | Any) -> Ingress:
        if isinstance(given, Ingress):
            return given
        if given is None:
            uplink = self.network.uplink
            given = uplink.name if uplink else self.network.ports[0].name
        return Ingress(given)

    def __repr__(self) -> str:
        kinds = [port.kind for port in self.network.ports]
        queues = f", {len(self.compiled.queues)} VM queues" if self.adapter else ""
        return (
            f"<Switch {self.network.name!r}: {self.network.dialect}, "
            f"{kinds.count(PortKind.VM)} VMs{queues}>"
        )


def _own_copy(decided: Decided) -> Decided:
    """Copy the columns of a batch whose arrays will be used again; its bytes stay in place."""
    frames = decided.frames
    if frames is not None:
        frames = replace(
            frames, start=frames.start.copy(), caplen=frames.caplen.copy(),
            wirelen=frames.wirelen.copy(), ts_ns=frames.ts_ns.copy(),
            interface=frames.interface.copy(), first_number=decided.number,
        )  # fmt: skip
    return replace(decided, words=decided.words.copy(), frames=frames)


def _as_frames(source: Any) -> Frames:
    if isinstance(source, Frames):
        return source
    if isinstance(source, Frame):
        return Frames.from_bytes([source.data], wirelen=[source.wirelen], ts_ns=[source.ts_ns])
    if isinstance(source, bytes):
        return Frames.from_bytes([source])
    if isinstance(source, str | Path):
        raise BadInput(f"give pcaps.open({str(source)!r}) instead of a path")
    return Frames.from_scapy(source)
