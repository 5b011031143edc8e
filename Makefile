# Few words, each of which makes what it needs first. `make` alone lists them.

VENV ?= .venv
ARGS ?=

# The first Python of 3.11 to 3.13 there is, else any newer one. Yours: make serve PYTHON=/path/to/python3.12
RECENT := import sys; sys.exit(sys.version_info < (3, 11))
LOCKED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell \
	for python in python3 python3.13 python3.12 python3.11; do \
		$$python -c '$(LOCKED)' >/dev/null 2>&1 && { echo $$python; exit; }; done; \
	for python in python3 python3.14 python3.15; do \
		$$python -c '$(RECENT)' >/dev/null 2>&1 && { echo $$python; exit; }; done; \
	echo python3)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --require-hashes --no-deps --requirement

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup serve demo test check format bench wheel lock clean

help: ## list these words
	@echo 'Afterimage. One of:'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'
	@echo 'Flags go through: make serve ARGS="--port 9000". Another Python: make setup PYTHON=python3.12'

setup: $(VENV)/.for-development ## make .venv with everything, tools included

serve: $(VENV)/.for-serving ## run the service on 127.0.0.1:8080 with ./data
	@$(BIN)/afterimage serve $(ARGS)

demo: $(VENV)/.for-demo ## edit some photographs, and see what PDQ and Afterimage make of them
	@$(BIN)/afterimage demo $(ARGS)

test: $(VENV)/.for-development ## run the test suite
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.for-development ## lint, format, types, layers, Dockerfile: nothing is changed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

format: $(VENV)/.for-development ## put the code into the shape that check asks for
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.for-development ## measure start-up, latency and throughput on this machine
	$(BIN)/python benchmarks/startup.py
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/decoding.py
	$(BIN)/python benchmarks/descriptor.py
	$(BIN)/python benchmarks/index_search.py
	$(BIN)/python benchmarks/service_latency.py

wheel: $(VENV)/.for-development ## build the wheel into dist/
	$(BIN)/python -m hatchling build --target wheel

lock: $(VENV)/.python ## resolve requirements/*.txt anew, for every platform at once
	@$(PIP) install --quiet uv
	VENV='$(VENV)' sh requirements/lock.sh

clean: ## remove the environment, caches and builds; never your data
	rm -rf '$(VENV)' dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# Each stamp says that the environment holds what its lock file names.

$(VENV)/.python:
	@$(PYTHON) -c '$(RECENT)' 2>/dev/null || { \
		echo 'Afterimage needs Python 3.11 or newer, and "$(PYTHON)" is not that.' >&2; \
		echo 'Install one and name it: make setup PYTHON=/path/to/python3.12' >&2; \
		exit 1; }
	$(PYTHON) -m venv '$(VENV)'
	@touch $@

$(VENV)/.for-serving: $(VENV)/.python requirements/runtime.txt pyproject.toml
	@echo 'Installing what the service needs, once. On Linux that is about 2.5 GB, most of it PyTorch.'
	$(INSTALL) requirements/runtime.txt
	$(PIP) install --quiet --no-deps --editable .
	@touch $@

$(VENV)/.for-demo: $(VENV)/.for-serving requirements/demo.txt
	$(INSTALL) requirements/demo.txt
	@touch $@

$(VENV)/.for-development: $(VENV)/.for-serving requirements/development.txt
	$(INSTALL) requirements/development.txt
	@touch $@
