"""What changes on the stage during a move, and when: the steps between runs of the event loop.

A scene is a moment with the state of both hosts from then on. The steps of a move
are carried out on real switches and adapters (:mod:`migration.hosts`) before the
run, in order; the run then only takes what they compiled to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from migration.hosts_kernel import Host
from migration.path import HOST_DELAY_NS
from migration.path_kernel import SOURCE, TARGET

if TYPE_CHECKING:
    from migration.hosts import MovingHost

EVERY_VLAN = -1


@dataclass(frozen=True, eq=False)
class Scene:
    """A moment at which something changes.

    Parameters
    ----------
    at_ns : int
        World time.
    name : str
        What happens, in a few words.
    source, target : Host
        The hosts from now on.
    vm_host : int
        Where the VM runs from now on: SOURCE or TARGET.
    freeze, resume : bool
        Whether the VM's clock stops, or goes on.
    dark_until_ns : int, optional
        Until when the network between the ends is dark; None = as before.
    hold : bool, optional
        Whether frames for a VM that stands still are held; None = as before.
    release : bool
        Whether what was held is sent on.
    learn : int, optional
        VLAN in which a frame of the VM reaches the physical switch from the target;
        :data:`EVERY_VLAN` for all of them.
    announcement : bytes
        The frame that does so, as the VM sends it; empty where it is not a frame.
    mute : bool, optional
        Whether the guest sends nothing from now on, its driver having no carrier.
    host_bps : float, optional
        What of the hosts' links is left for the VM's traffic from now on; 0: all of it.
    opens : bool
        Whether the blackout begins here: stalls are measured from here on.
    """

    at_ns: int
    name: str
    source: Host
    target: Host
    vm_host: int = SOURCE
    freeze: bool = False
    resume: bool = False
    dark_until_ns: int | None = None
    hold: bool | None = None
    release: bool = False
    learn: int | None = None
    announcement: bytes = b""
    mute: bool | None = None
    host_bps: float | None = None
    opens: bool = False


@dataclass(frozen=True)
class Schedule:
    """When the steps of a move are, in world time.

    Parameters
    ----------
    suspend_ns, disconnect_ns, connect_ns, resume_ns : int
        The VM stops; its port leaves the source; its port is on the target; it goes on.
    announcements : tuple of (int, int, bytes)
        When the VM's address is announced, in which VLAN, by which frame of the VM.
    silent_ns : int
        How long the guest sends nothing behind its resumption.
    found_ns : int, optional
        When the physical switch knows where the VM is, whatever is announced.
    stalls : tuple of (int, int)
        Post-copy: when the running VM waits for pages, from and to.
    hold : bool
        Whether frames for the VM are held while it is away.
    """

    suspend_ns: int
    disconnect_ns: int
    connect_ns: int
    resume_ns: int
    announcements: tuple[tuple[int, int, bytes], ...] = ()
    silent_ns: int = 0
    stalls: tuple[tuple[int, int], ...] = ()
    hold: bool = False
    found_ns: int | None = None


def opening(source: MovingHost, target: MovingHost) -> Scene:
    """Return the scene before the move.

    Parameters
    ----------
    source, target : MovingHost
        The hosts.

    Returns
    -------
    Scene
        At the beginning of time.
    """
    return Scene(-(1 << 62), "before the move", source.compiled(), target.compiled())


def scenes_of_move(schedule: Schedule, source: MovingHost, target: MovingHost) -> list[Scene]:
    """Carry the move out on the hosts, and return what that changes.

    Parameters
    ----------
    schedule : Schedule
        When.
    source, target : MovingHost
        The hosts; afterwards the VM is on the target.

    Returns
    -------
    list of Scene
        In order of time, :func:`opening` first.
    """
    scenes = [opening(source, target)]
    before = scenes[0]
    source.clear_filters()
    a, b = source.compiled(), before.target
    scenes.append(
        Scene(
            schedule.suspend_ns, "the VM stops", a, b, freeze=True, hold=schedule.hold, opens=True
        )
    )
    source.remove_vm()
    a = source.compiled()
    scenes.append(Scene(schedule.disconnect_ns, "its port leaves the source", a, b))
    target.add_vm()
    b = target.compiled()
    scenes.append(Scene(schedule.connect_ns, "its port is on the target", a, b))
    quiet = schedule.silent_ns > 0
    scenes.append(
        Scene(schedule.resume_ns, "the VM goes on", a, b, TARGET, resume=True, release=True,
              mute=quiet or None)
    )  # fmt: skip
    if quiet:
        at_ns = schedule.resume_ns + schedule.silent_ns
        scenes.append(Scene(at_ns, "the guest has its carrier again", a, b, TARGET, mute=False))
    if schedule.found_ns is not None:
        scenes.append(Scene(schedule.found_ns, "frames find it", a, b, TARGET, learn=EVERY_VLAN))
    for at_ns, vid, frame in schedule.announcements:
        if target.reaches_wire(frame):
            scenes.append(
                Scene(at_ns + HOST_DELAY_NS, "an announcement arrives", a, b, TARGET, learn=vid,
                      announcement=frame)
            )  # fmt: skip
    for begin_ns, end_ns in schedule.stalls:
        scenes.append(
            Scene(begin_ns, "the VM waits for a page", a, b, TARGET, freeze=True, hold=True)
        )
        scenes.append(
            Scene(end_ns, "the page is there", a, b, TARGET, resume=True, release=True,
                  hold=schedule.hold)
        )  # fmt: skip
    return sorted(scenes, key=lambda scene: scene.at_ns)


def sharing(
    scenes: Sequence[Scene], begin_ns: int, suspend_ns: int, share_bps: float
) -> list[Scene]:
    """Return the scenes of a move that shares the hosts' links with the VM's traffic.

    Parameters
    ----------
    scenes : sequence of Scene
        In order of time.
    begin_ns, suspend_ns : int
        From when and until when the move copies.
    share_bps : float
        What it leaves of the links, bit/s.

    Returns
    -------
    list of Scene
        With one more where the copy begins; from the suspension on links are as before.
    """
    first = scenes[0]
    copying = Scene(
        begin_ns, "the copy takes its share of the link", first.source, first.target,
        host_bps=share_bps,
    )  # fmt: skip
    rest = [
        replace(scene, host_bps=0.0) if scene.at_ns == suspend_ns and scene.opens else scene
        for scene in scenes[1:]
    ]
    return [first, *sorted([copying, *rest], key=lambda scene: scene.at_ns)]


def scenes_of_outage(
    begin_ns: int, end_ns: int, hold: bool, source: MovingHost, target: MovingHost
) -> Sequence[Scene]:
    """Return the scenes of a network that goes dark, with both ends running.

    Parameters
    ----------
    begin_ns, end_ns : int
        From and to.
    hold : bool
        Whether frames are held and sent on at the end, or lost.
    source, target : MovingHost
        The hosts; the VM stays where it is.

    Returns
    -------
    sequence of Scene
        Before, dark, light again.
    """
    first = opening(source, target)
    a, b = first.source, first.target
    return [
        first,
        Scene(begin_ns, "the network goes dark", a, b, dark_until_ns=end_ns, hold=hold, opens=True),
        Scene(end_ns, "the light is back", a, b, release=True, resume=True),
    ]
