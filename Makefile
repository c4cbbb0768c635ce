# `make demo` and `make test` set up .venv in this folder first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo check test docs clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   set up .venv and run the demonstration"
	@echo "make test   set up .venv, then run lint, type checks, tests and doctests"
	@echo "make docs   regenerate the generated pages and build the site into site/"

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/deepgllim demo --output runs/demo --overwrite

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: check
	$(BIN)/pytest --numprocesses auto

docs: $(STAMP)
	$(BIN)/python -m deepgllim.cli.reference > docs/cli.md
	$(BIN)/python -m examples.gallery
	$(BIN)/python -m mkdocs build --strict

clean:
	rm -rf $(VENV) runs site .mypy_cache .ruff_cache .pytest_cache
