# Everything sets itself up: `make demo` and `make test` need python3 (3.11 or newer) and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint types bench wheel-check clean

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "kling-batch needs Python 3.11 or newer: run make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $(READY)

demo: $(READY)
	$(BIN)/kling-batch run examples/fireworks.yaml --sandbox
	@echo "Listen: open out/fireworks.sandbox/report.html in a browser."

test: $(READY)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m benchmarks

# Validates an example with the built wheel, in an environment that has never seen this checkout.
wheel-check: $(READY)
	$(BIN)/python tests/wheel_check.py

clean:
	rm -rf $(VENV) out dist build .mypy_cache .pytest_cache .ruff_cache
	rm -f examples/*.sandbox.lock
