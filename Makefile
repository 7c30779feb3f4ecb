# make demo   classify a shipped sample into per-VM queues, and show the report
# make test   all checks and all tests
# Each makes its own .venv and installs what it needs; python3, python3-venv and make suffice.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
LOCK   := requirements-test.lock
PYTEST := $(BIN)/python -m pytest -q
PIP    := $(BIN)/python -m pip --disable-pip-version-check --retries 5 --timeout 60
JOBS   ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: demo test lint check-jit check-bounds check-coverage mutation bench bench-tcp fidelity fuzz wheel clean

$(VENV)/bin/python:
	@$(PYTHON) -m venv $(VENV) || { rm -f $@; echo "no virtual environment: install python3-venv"; exit 1; }

$(VENV)/.runtime: $(VENV)/bin/python pyproject.toml $(LOCK)
	@echo "== installing vswitch into $(VENV)"
	@$(PIP) install -q -c $(LOCK) -e .
	@touch $@

$(VENV)/.test: $(VENV)/.runtime $(LOCK)
	@echo "== installing the test environment into $(VENV)"
	@$(PIP) install -q -r $(LOCK)
	@touch $@

demo: $(VENV)/.runtime
	@$(BIN)/vswitch replay pcaps/samples/office.pcapng

test: lint check-jit check-bounds check-coverage
	@echo "== all checks passed"

lint: $(VENV)/.test
	@echo "== format, lint, types, layers"
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy --strict
	@$(BIN)/lint-imports --no-cache

check-jit: $(VENV)/.test
	@echo "== tests"
	@$(PYTEST) -n $(JOBS) --dist loadfile

check-bounds: $(VENV)/.test
	@echo "== tests with every array access checked"
	@NUMBA_BOUNDSCHECK=1 $(PYTEST) -n $(JOBS) --dist loadfile -m "not slow and not whole_program"

check-coverage: $(VENV)/.test
	@echo "== tests with kernels as plain Python, coverage counted"
	@NUMBA_DISABLE_JIT=1 $(PYTEST) -n $(JOBS) --dist loadfile -m "not slow and not whole_program and not compiled" \
		--cov --cov-report=term:skip-covered --cov-fail-under=85

bench: $(VENV)/.test
	@$(BIN)/python benchmarks/fastpath.py
	@$(BIN)/python benchmarks/offloads.py
	@$(BIN)/python benchmarks/hosts.py
	@$(BIN)/python benchmarks/cluster.py
	@$(BIN)/python benchmarks/requirements.py

bench-tcp: $(VENV)/.test
	@$(BIN)/python benchmarks/tcp.py

fidelity: $(VENV)/.test
	@$(BIN)/python -m benchmarks.fidelity

mutation: $(VENV)/.test
	@$(BIN)/python tests/mutation/run.py

fuzz: $(VENV)/.test
	@$(BIN)/python tests/fuzz/fuzz_readers.py --seconds 600

wheel: $(VENV)/bin/python
	@$(PIP) wheel -q --no-deps -w dist .

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
