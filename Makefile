# Each target does all its own set-up: a fresh machine needs Python 3.11 to 3.13 and make.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	if $$p -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; then echo $$p; break; fi; done)
VENV ?= .venv
BIN := $(VENV)/bin
VALIDATORS ?= .venv-validators
# Many tests wait for a process or a heartbeat: one more than the two cores of a small machine keeps these busy.
JOBS ?= 3
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo up test bench guard screenshots calibrate lint format lock clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 with venv is needed. On Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# Wheels only: nothing is built that comes from elsewhere.
# The lock is complete: without --no-deps, older pips look for extras past its pins and then miss their hashes.
$(VENV)/.run: requirements.txt pyproject.toml | $(VENV)/.python
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --only-binary :all: -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --only-binary :all: -r requirements-dev.txt
	@touch $@

# cffconvert pins a jsonschema that nothing else bears: tests call it where it stands alone.
$(VALIDATORS)/.python: requirements-validators.txt | $(VENV)/.python
	$(PYTHON) -m venv $(VALIDATORS)
	$(VALIDATORS)/bin/python -m pip install --quiet --no-deps --require-hashes --only-binary :all: -r requirements-validators.txt
	@touch $@

demo: $(VENV)/.run ## a simulated storm month through the whole pipeline, offline
	$(BIN)/sec demo

up: $(VENV)/.run ## the local stack with the Prefect UI; Ctrl-C stops it
	$(BIN)/sec up

# Tests' frames are small: a second thread costs more than it saves. That threads change no figure is a test of its own.
test: $(VENV)/.dev $(VALIDATORS)/.python ## all tests
	POLARS_MAX_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --no-loadscope-reorder --durations 10

bench: $(VENV)/.dev ## what everything costs, as tables and in bench-results/ (12 minutes on a quiet machine)
	$(BIN)/python -m benchmarks

guard: $(VENV)/.dev ## fail where something costs twice what is on record, by counts and not by the clock
	$(BIN)/python -m benchmarks.guard

screenshots: $(VENV)/.dev ## the pictures of the Prefect UI and of the site, into docs/images (4 minutes, needs Chromium)
	PYTHONPATH=tests $(BIN)/python -m scripts.screenshots
	PYTHONPATH=tests $(BIN)/python -m scripts.site_pictures

calibrate: $(VENV)/.dev ## whether intervals and the rules of storms hold what they promise, into docs/ (minutes)
	$(BIN)/python -m scripts.calibrate
	$(BIN)/python -m scripts.storm_rules

lint: $(VENV)/.dev ## style, types, layers, dead code, known flaws in packages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m scripts.dead_code
	$(BIN)/python -m scripts.audit

format: $(VENV)/.dev ## put the code in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## resolve the locked requirements again (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--quiet --extra dev -o requirements-dev.txt pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--quiet -c requirements-dev.txt -o requirements.txt pyproject.toml
	echo cffconvert | uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--quiet --no-emit-package docopt -o requirements-validators.txt -

clean: ## remove what was built here (not data)
	rm -rf $(VENV) $(VALIDATORS) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
