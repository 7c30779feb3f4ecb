"""How kernels are compiled and kept, and that measuring leaves compiling out."""

import os
import subprocess
import sys

import numba
import pytest

from pcaps.jit import announce_compilation, cache_directory, compile_time

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="asks about compiling")

FIRST_RUN = """
import time
from vswitch.replay import Job, run
from pcaps import samples
from pcaps.jit import announce_compilation, compile_time
said = []
began = time.perf_counter()
with announce_compilation(said.append):
    done = run(Job(captures=[str(samples.path("tcp_sessions"))]))
took = time.perf_counter() - began
print(len(said), compile_time()[1] > 0.5, done.result.measured.wall_s < 0.5 * took)
"""


def compiled_function():
    @numba.njit
    def fresh(n):
        return n * 3 + 1

    return fresh


def test_compiling_is_announced_and_its_time_is_kept_apart():
    said, before = [], compile_time()
    with announce_compilation(said.append):
        assert compiled_function()(2) == 7
    assert len(said) == 2
    assert said[0].startswith("compiling")
    assert said[1].startswith("compiled in")
    assert all(now > then for now, then in zip(compile_time(), before, strict=True))


def test_nothing_is_said_when_nothing_is_compiled():
    said = []
    with announce_compilation(said.append):
        pass
    assert said == []


def test_cache_directory_carries_a_stamp_and_can_be_written():
    directory = cache_directory()
    assert directory is not None
    assert len(directory.name) == 16
    assert os.access(directory, os.W_OK)


@pytest.mark.slow
@pytest.mark.whole_program
def test_a_first_run_measures_the_replay_and_not_the_compiler(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FIRST_RUN], capture_output=True, text=True, check=True,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.split() == ["2", "True", "True"]
