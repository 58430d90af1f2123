# Two commands on a fresh machine: `make demo` and `make test`. `make` alone lists all.
PYTHON ?= $(firstword $(shell command -v python3.12 python3.11 python3))
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
export NO_ALBUMENTATIONS_UPDATE = 1

help:            ## list the targets
	@grep -hE '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 18

setup: $(READY)  ## make .venv and install the pinned packages (about 6 GB with CUDA libraries, some minutes)

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no python3 found; install Python 3.11 or 3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else f"make: Python 3.11 or 3.12 is needed, {sys.executable} is {v[0]}.{v[1]}; say which: make PYTHON=python3.11 ...")'
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
