# Every target makes the environment it needs: on a fresh machine one command is enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow bench pretrain same reproduce-table format

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "fedcmr needs Python 3.11 or newer"'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(READY) ## Two rounds of Med-DualLoRA on a small phantom cohort, under a minute of compute
	$(BIN)/python -m fedcmr.run --config demo $(ARGS)

reproduce-table: $(READY) ## The comparison table on the embedded phantom cohort (ARGS="--seeds 5 ...")
	$(BIN)/python -m fedcmr.table --config table $(ARGS)

test: $(READY) ## Format, lint, types and the fast tests, under five minutes on two cores
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

test-slow: $(READY) ## Processes, drills and fuzzing, under forty minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow $(ARGS)

bench: $(READY) ## What a federated round costs, side by side with the usual way (ARGS="--size base")
	OMP_NUM_THREADS=1 $(BIN)/python -m fedcmr.bench $(ARGS)

pretrain: $(READY) ## Make the embedded backbone's weights again from simulated hearts, about two hours
	$(BIN)/python -m fedcmr.pretrain --config pretrain $(ARGS)

same: $(READY) ## Show that two equal runs leave equal journals, byte for byte
	$(BIN)/python -m pytest -q -m "slow or not slow" tests/test_same.py $(ARGS)

format: $(READY) ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
