# `make help` lists all targets. Targets that need the virtual environment create it on first use.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DATA ?= $(CELEBA_ROOT)
ARGS ?=
MARKED ?= not slow
# With worksteal, a worker process that has finished its tests takes half of another worker's remaining tests.
PARALLEL ?= --numprocesses=auto --maxprocesses=8 --dist=worksteal

.PHONY: help
help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(INSTALLED)  ## create the virtual environment and install everything (7 GB, because PyTorch includes CUDA)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "celeba_lab needs Python 3.11 or newer. Select it with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

.PHONY: demo
demo: $(INSTALLED)  ## train the smile classifier on synthetic faces, or on CelebA: make demo DATA=path/to/celeba
	$(BIN)/python -m celeba_lab experiment=smile \
		$(if $(DATA),data=celeba "data.root='$(DATA)'",data=synthetic recipe=scratch) $(ARGS)

# mypy uses a single core, so it runs in parallel with the tests.
.PHONY: test
test: $(INSTALLED)  ## run what CI runs: ruff, mypy, the doctests and the fast tests
	@$(MAKE) --no-print-directory --jobs=2 lint typecheck pytest

.PHONY: test-all
test-all: $(INSTALLED)  ## run ruff, mypy, the doctests and all tests, including the slow ones
	@$(MAKE) --no-print-directory --jobs=2 lint typecheck pytest MARKED='slow or not slow'

.PHONY: pytest
pytest: $(INSTALLED)  ## run the tests without ruff and mypy; ARGS=... passes options to pytest
	$(BIN)/python -m pytest -m '$(MARKED)' $(PARALLEL) $(ARGS)

# 15 tests with 2,700 inputs each.
.PHONY: fuzz
fuzz: $(INSTALLED)  ## try about 40,000 damaged files and random settings
	FUZZ_EXAMPLES=2700 $(BIN)/python -m pytest tests/fuzz --timeout=0 $(PARALLEL) $(ARGS)

.PHONY: lint
lint: $(INSTALLED)  ## run ruff without changing anything
	$(BIN)/ruff check
	$(BIN)/ruff format --check

.PHONY: format
format: $(INSTALLED)  ## let ruff fix what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: typecheck
typecheck: $(INSTALLED)  ## run mypy
	$(BIN)/mypy

.PHONY: tensorboard
tensorboard: $(INSTALLED)  ## show all runs under outputs/ in TensorBoard, on this machine only
	$(BIN)/tensorboard --logdir outputs --host 127.0.0.1 $(ARGS)

.PHONY: docs
docs: $(INSTALLED)  ## build the documentation into build/docs; warnings are errors
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -b html docs build/docs $(ARGS)

.PHONY: wheel
wheel: $(INSTALLED)  ## build the wheel into dist/
	$(BIN)/python -m build --wheel

.PHONY: clean
clean:  ## remove caches and build output, but keep data/, outputs/ and the environment
	rm -rf build dist docs/api .mypy_cache .pytest_cache .ruff_cache
	find celeba_lab tests -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean  ## run clean and remove the environment
	rm -rf $(VENV)
