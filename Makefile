# Two commands on a fresh machine: `make demo` and `make test`. `make` alone lists all.
# The first interpreter that runs (a name on the PATH may be a shim of nothing) and is new and old enough.
SUITS  := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))
PYTHON ?= $(shell for p in python3.12 python3.11 python3; do $$p -c '$(SUITS)' >/dev/null 2>&1 && echo $$p && break; done)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
export NO_ALBUMENTATIONS_UPDATE = 1

help:            ## list the targets
	@grep -hE '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 18

setup: $(READY)  ## make .venv and install the pinned packages (about 6 GB with CUDA libraries, some minutes)

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or 3.12 is needed and none was found; say where: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@$(PYTHON) -c '$(SUITS)' || { echo "make: Python 3.11 or 3.12 is needed, PYTHON=$(PYTHON) is not"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY)   ## the main job on an embedded synthetic CASME II: pooled scores and where the run folder is
	@$(BIN)/python -m fer_lightning.demo

test: $(READY)   ## the tests; FER_RAW=<folder of raw data> runs those on real data too
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -n 2 -q

lint: $(READY)   ## style only
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

clean:           ## remove what demo and tests made (not .venv, not runs/)
	rm -rf demo-runs .pytest_cache .ruff_cache

.PHONY: help setup demo test lint clean
.DEFAULT_GOAL := help
