# Everything sets itself up: `make demo` and `make test` need python3 (3.11 or newer) and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROGRAM := $(VENV)/.ready-program
READY := $(VENV)/.ready
FLOORS := .venv-floors
PIP := -m pip install --quiet --disable-pip-version-check
# Where bytecode is not kept, each process that a test starts compiles the program again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo wheel test lint types chaos bench docs wheel-check floors clean

# The program alone, which is all that the demo needs.
$(PROGRAM): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "kling-batch needs Python 3.11 or newer: run make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --editable .
	touch $(PROGRAM)

# The tools of development with it.
$(READY): $(PROGRAM)
	$(BIN)/python $(PIP) --editable '.[dev]'
	touch $(READY)

demo: $(PROGRAM)
	$(BIN)/kling-batch run examples/fireworks.yaml --sandbox
	@echo "Listen: open out/fireworks.sandbox/report.html in a browser."

# For people who only use it: `pipx install` takes what this builds.
wheel: $(PROGRAM)
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@echo "Install it: pipx install $$(ls dist/kling_batch-*.whl)"

test: $(READY)
	$(BIN)/python -m pytest --numprocesses 6 --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# make chaos SEEDS=10000 | SEED=17 (replays one, with its log) | POINTS=1 (every crash point) | KILLS=200 (real ones) | HOSTILE=300.
# make chaos LEASES=3000 (simulated machines that share a lease) | ROUNDS=100 (two real coordinators). Without any of them a little of each. docs/proof.md explains it.
CHAOS := $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(POINTS),--points) $(if $(KILLS),--kills $(KILLS)) $(if $(HOSTILE),--hostile $(HOSTILE))
LEASE := $(if $(LEASES),--seeds $(LEASES)) $(if $(ROUNDS),--rounds $(ROUNDS))
chaos: $(READY)
	$(if $(strip $(LEASE)),,$(BIN)/python -m tests.chaos $(or $(strip $(CHAOS)),--seeds 500 --points --kills 10 --hostile 100))
	$(if $(strip $(CHAOS)),,$(BIN)/python -m tests.lease $(or $(strip $(LEASE)),--seeds 3000 --rounds 5))

bench: $(READY)
	$(BIN)/python -m benchmarks

# The documentation as a site, in out/site.
docs: $(READY)
	$(BIN)/mkdocs build --strict

# Validates an example with the built wheel, in an environment that has never seen this checkout.
wheel-check: $(READY)
	$(BIN)/python tests/wheel_check.py

# The tests of the command line, the service's client, the sandbox and the reports, and a run, with the lowest versions of
# the libraries that pyproject.toml allows. Needs the oldest Python it allows: later ones have no wheels of all of them.
floors: $(FLOORS)/.ready
	$(FLOORS)/bin/kling-batch run examples/fireworks.yaml --sandbox --select last-ember --out out/floors
	$(FLOORS)/bin/python -m pytest --numprocesses 2 $(addprefix tests/,cli service sandbox report) \
	  --ignore-glob '*/test_browser.py' --ignore-glob '*/test_audition.py' --ignore-glob '*/test_page_*.py' \
	  --deselect tests/report/test_plan_markdown.py::test_the_table_shows_words_as_words

$(FLOORS)/.ready: pyproject.toml tests/floors.py
	$(PYTHON) -m venv $(FLOORS)
	$(PYTHON) tests/floors.py > $(FLOORS)/constraints.txt
	$(FLOORS)/bin/python $(PIP) --constraint $(FLOORS)/constraints.txt --editable '.[callbacks,excel,finish,sandbox,video]' cryptography hypothesis 'pyarrow<19' pytest pytest-xdist
	touch $(FLOORS)/.ready

clean:
	rm -rf $(VENV) $(FLOORS) out kling-batch-demo dist build .mypy_cache .pytest_cache .ruff_cache
	rm -f examples/*.sandbox.lock
