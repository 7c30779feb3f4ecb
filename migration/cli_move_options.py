"""The options that say how a VM is moved, for every command that moves one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pcaps.errors import BadInput

if TYPE_CHECKING:
    from migration.links import Link
    from migration.move_settings import MoveSettings
    from migration.working_set import WorkingSet

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--kind", type=click.Choice(["live", "quick", "postcopy"]), default="live",
        show_default=True, help="Pre-copy; save, move, restore; or the VM first, memory after it.",
    ),
    click.option(
        "--policy", metavar="NAME", default="qemu", show_default=True,
        help="When pre-copy ends: hyperv-r2, hyperv-2012r2, qemu, xen-3.0, xen-4.5, xen-4.6.",
    ),
    click.option(
        "--memory", metavar="SIZE", default="4GiB", show_default=True, help="Memory of the VM.",
    ),
    click.option(
        "--working-set", metavar="SIZE",
        help="Memory that the guest writes; all that is not zero where only --dirty is given.",
    ),
    click.option(
        "--dirty", metavar="RATE", default="0", show_default=True,
        help="Pages written a second, in bytes of pages, such as 200MB/s.",
    ),
    click.option(
        "--pattern", metavar="NAME", default="sequential", show_default=True,
        help="How it is written: sequential (round and round), uniform, zipf[:EXPONENT], "
        "hot-cold[:SIZE/WRITES] such as hot-cold:0.1/0.9.",
    ),
    click.option(
        "--dirty-curve", metavar="FILE", type=click.Path(dir_okay=False),
        help="Working set from a file: lines 'SECONDS SIZE', or 'set SIZE' and 'SECONDS RATE'.",
    ),
    click.option(
        "--zero-pages", metavar="N", type=click.IntRange(0), default=0, show_default=True,
        help="Pages of 4 KiB that hold zeros.",
    ),
    click.option(
        "--zeros-at", type=click.Choice(["end", "spread", "start"]), default="end",
        show_default=True, help="Where they lie; matters when the first pass is the last.",
    ),
    click.option(
        "--link", metavar="RATE", default="1Gbps", show_default=True,
        help="Link of the move: a line rate in bits (full TCP segments use 94 % of it), or what "
        "gets through in bytes; rates over time as 1Gbps,10s:400Mbps.",
    ),
    click.option(
        "--vm-traffic", metavar="RATE", default="0", show_default=True,
        help="What VM traffic takes of the link.",
    ),
    click.option(
        "--cap", metavar="RATE",
        help="Bound on pre-copy, not on the last copy; or none. By default the policy's: qemu 128MiB/s.",
    ),
    click.option(
        "--downtime-limit", metavar="TIME", help="Of policy qemu; 300ms by default.",
    ),
    click.option(
        "--pass-cap", metavar="N", type=click.IntRange(1),
        help="Rounds before the VM is suspended anyway, of hyperv-* and xen-*.",
    ),
    click.option(
        "--auto-converge", is_flag=True, help="Of policy qemu: slow a guest that dirties too fast.",
    ),
    click.option(
        "--adaptive", "rate_rule", type=click.Choice(["source", "paper"]),
        help="Of policy xen-3.0: the rate that follows the dirty rate, as its source or its paper has it.",
    ),
    click.option(
        "--postcopy-after", metavar="TIME",
        help="Switch to post-copy at this time of the move; after the first pass by default.",
    ),
    click.option(
        "--storage", metavar="RATE", default="300MB/s", show_default=True,
        help="Shared storage of a quick migration.",
    ),
    click.option(
        "--announce", metavar="NAME",
        help="Who tells the network: none, rarp5, garp2, guest-garp, netvsc, windows-guest; by "
        "default as the policy does.",
    ),
    click.option(
        "--give-up", metavar="TIME", default="1h", show_default=True,
        help="Cancel a pre-copy that has not ended by then.",
    ),
    click.option(
        "--seed", metavar="N", type=int, default=0, show_default=True,
        help="Of the random patterns; the same seed gives the same move.",
    ),
    click.option(
        "--counts", is_flag=True,
        help="Count pages instead of keeping each: quicker, and without proof.",
    ),
)  # fmt: skip


def move_options(command: _Command) -> _Command:
    """Add the options to a command, which hands them to :func:`settings_of`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def default_words() -> dict[str, Any]:
    """Return the defaults of the options, by the names that :func:`settings_of` takes."""

    @click.command()
    @move_options
    def nothing(**_: Any) -> None: ...

    return dict(nothing.make_context("defaults", []).params)


def settings_of(words: dict[str, Any]) -> MoveSettings:
    """Return the settings of the options, as click gives them.

    Parameters
    ----------
    words : dict
        All that :func:`move_options` adds.

    Returns
    -------
    MoveSettings

    Raises
    ------
    BadInput
        With the option's name.
    """
    from migration.move_settings import MoveSettings
    from pcaps.quantities import parse_bytes, parse_duration_ns, parse_rate

    def read(name: str, parse: Callable[[str], Any]) -> Any:
        asked = words[name]
        if asked is None:
            return None
        try:
            return parse(asked)
        except BadInput as error:
            raise BadInput(f"--{name.replace('_', '-')}: {error.what}") from error

    def parse_cap(asked: str) -> float:
        return math.inf if asked == "none" else parse_rate(asked).bytes_per_s

    memory = read("memory", parse_bytes)
    return MoveSettings(
        memory_bytes=memory,
        link=read("link", lambda asked: _link(asked, words["vm_traffic"])),
        kind=words["kind"],
        policy=words["policy"],
        working_set=_working_set(
            words, memory, read("working_set", parse_bytes), read("dirty", parse_rate).bytes_per_s
        ),
        zero_pages=words["zero_pages"],
        zeros_at=words["zeros_at"],
        cap_bytes_per_s=read("cap", parse_cap),
        downtime_limit_ns=read("downtime_limit", parse_duration_ns),
        pass_cap=words["pass_cap"],
        auto_converge=words["auto_converge"],
        rate_rule=words["rate_rule"],
        postcopy_at_ns=read("postcopy_after", parse_duration_ns),
        storage_bytes_per_s=read("storage", parse_rate).bytes_per_s,
        announce=words["announce"],
        give_up_ns=read("give_up", parse_duration_ns),
        seed=words["seed"],
        pages=not words["counts"],
    )


def _link(asked: str, vm_traffic: str) -> Link:
    """Read a link: a rate, or rates with the time from which they hold."""
    from migration.links import Link, payload_rate
    from pcaps.quantities import parse_duration_ns, parse_rate

    def payload(word: str) -> float:
        rate = parse_rate(word)
        return payload_rate(rate.bytes_per_s * 8) if rate.in_bits else rate.bytes_per_s

    steps = []
    for word in asked.split(","):
        start, colon, rate = word.rpartition(":")
        steps.append((parse_duration_ns(start) if colon else 0, payload(rate)))
    return Link.of(steps, payload(vm_traffic))


def _working_set(words: dict[str, Any], memory: int, size: int | None, rate: float) -> WorkingSet:
    """Return what the guest writes."""
    from migration import working_set

    if words["dirty_curve"] is not None:
        if size is not None or rate > 0:
            raise BadInput(
                "--dirty-curve tells the working set; leave out --working-set and --dirty"
            )
        return working_set.read_curve(words["dirty_curve"])
    if size is None:
        if rate == 0:
            return working_set.WorkingSet()
        size = max(memory - words["zero_pages"] * working_set.PAGE_BYTES, working_set.PAGE_BYTES)
    if size == 0:
        if rate == 0:
            return working_set.WorkingSet()
        raise BadInput("--dirty without a --working-set to write to; give it a size")
    name, _, shape = words["pattern"].partition(":")
    try:
        if name in {"sequential", "uniform"} and not shape:
            make = working_set.sequential if name == "sequential" else working_set.uniform
            return make(size, rate)
        if name == "zipf":
            return working_set.zipf(size, rate, *([float(shape)] if shape else []))
        if name == "hot-cold":
            hot = [float(part) for part in shape.split("/")] if shape else []
            if len(hot) in {0, 2}:
                return working_set.hot_cold(size, rate, *hot)
    except BadInput:
        raise
    except ValueError:
        pass
    raise BadInput(
        f"--pattern: '{words['pattern']}' is no pattern; write sequential, uniform, zipf:0.99 or "
        "hot-cold:0.1/0.9"
    )
