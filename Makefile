# `make help` lists every target. A target that needs the environment makes it first, once.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DATA ?= $(CELEBA_ROOT)
ARGS ?=
PARALLEL ?= --numprocesses=auto --maxprocesses=8

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(INSTALLED)  ## make the virtual environment and install everything (5 GB: PyTorch comes with CUDA)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "celeba_lab needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

.PHONY: demo
demo: $(INSTALLED)  ## train the smile classifier on the built-in faces, or on your CelebA: make demo DATA=folder
	$(BIN)/python -m celeba_lab experiment=smile \
		$(if $(DATA),data=celeba "data.root='$(DATA)'",data=synthetic model.weights=null) $(ARGS)

.PHONY: test
test: lint typecheck  ## everything CI runs: ruff, mypy and the tests that take seconds
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

.PHONY: test-all
test-all: lint typecheck  ## the same with the slow tests
	$(BIN)/python -m pytest -m 'slow or not slow' $(PARALLEL) $(ARGS)

.PHONY: lint
lint: $(INSTALLED)  ## ruff: mistakes and formatting, changing nothing
	$(BIN)/ruff check
	$(BIN)/ruff format --check

.PHONY: format
format: $(INSTALLED)  ## ruff: mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: typecheck
typecheck: $(INSTALLED)  ## mypy
	$(BIN)/mypy

.PHONY: tensorboard
tensorboard: $(INSTALLED)  ## open every run under outputs/ in TensorBoard, on this machine only
	$(BIN)/tensorboard --logdir outputs --host 127.0.0.1 $(ARGS)

.PHONY: wheel
wheel: $(INSTALLED)  ## build the wheel into dist/
	$(BIN)/python -m build --wheel

.PHONY: clean
clean:  ## remove caches and builds; keeps data/, outputs/ and the environment
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache
	find celeba_lab tests -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean  ## clean, and remove the environment
	rm -rf $(VENV)
