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
	$(BIN)/python -m pytest -n 2 --dist worksteal -q

test-cluster: $(READY)  ## launchers on a real SLURM (Debian: slurm-wlm, munge; as root), Ray and joblib, on this machine
	@command -v slurmctld munged >/dev/null || { echo "make: SLURM is needed: apt-get install slurm-wlm munge"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,ray]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps hydra-ray-launcher==1.2.2
	$(BIN)/python -m pytest -q tests/cluster -m cluster

BUDGET ?= full
SEEDS  ?= 0
reproduce: $(READY)  ## rows of a paper's table: TABLE=waspp-t10 [SEEDS=0,1,2] [BUDGET=smoke|cpu|night|full] [DATA=megc2019] [WHERE="protocol.workers=4"]
	@test -n "$(TABLE)" || { $(BIN)/python -m fer_lightning.reproduce --list; echo "make: say which: make reproduce TABLE=..."; exit 1; }
	$(BIN)/python -m fer_lightning.reproduce $(TABLE) --seeds $(SEEDS) --budget $(BUDGET) $(if $(DATA),--data $(DATA)) $(if $(WHERE),--where $(WHERE))

reproduce-all: $(READY)  ## every paper's table for which there is data: [SEEDS=0,1,2] [BUDGET=smoke|cpu|night|full] [WHERE=...]
	$(BIN)/python -m fer_lightning.reproduce --seeds $(SEEDS) --budget $(BUDGET) $(if $(DATA),--data $(DATA)) $(if $(WHERE),--where $(WHERE))

lint: $(READY)   ## style only
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

clean:           ## remove what demo and tests made (not .venv, not runs/)
	rm -rf demo-runs .pytest_cache .ruff_cache

.PHONY: help setup demo test test-cluster reproduce reproduce-all lint clean
.DEFAULT_GOAL := help
