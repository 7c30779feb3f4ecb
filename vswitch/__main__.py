"""Entry point: runs the command line and turns errors into one line and an exit code.

0 done; 1 an expectation failed; 2 bad input, or interrupted. ``VSWITCH_DEBUG=1``
shows tracebacks.
"""

from __future__ import annotations

import os
import sys

import click

from pcaps.errors import BadInput
from vswitch.cli import ReaderGoneError, vswitch

BAD_INPUT = 2


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit.

    Parameters
    ----------
    args : list of str, optional
        Arguments; those of the process by default.
    """
    # nothing here multiplies matrices, and threads of BLAS that wait for work burn 0.1 s of CPU
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if os.environ.get("VSWITCH_DEBUG"):
        vswitch(args, prog_name="vswitch")
    sys.exit(_run(args))


def _run(args: list[str] | None) -> int:
    try:
        code = vswitch.main(args, prog_name="vswitch", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BadInput as error:
        return _complain(error.what)
    except (click.Abort, KeyboardInterrupt):
        return _complain("interrupted; nothing was left half-written")
    except click.ClickException as error:
        error.show()
        return BAD_INPUT
    except (BrokenPipeError, ReaderGoneError):
        # not an error, as `| head` is none; Python would complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        return _complain("out of memory; try fewer --jobs or a --limit")
    except OSError as error:
        name = error.filename
        where = f"{os.fsdecode(name) if isinstance(name, bytes) else name}: " if name else ""
        return _complain(f"{where}{error.strerror or error}")


def _complain(what: str) -> int:
    click.echo(f"vswitch: {what}", err=True)
    return BAD_INPUT


if __name__ == "__main__":
    main()
