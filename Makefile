# The one list of commands. `make` alone prints it.
#
#   PYTHON=python3.11   the interpreter to make the environment with (default: the newest suitable)
#   VENV=.venv          where the environment is

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?=
VENV ?= .venv
PORT ?= 8200
# The same machine's other interpreter, for `make test-both`.
OTHER ?= python3.11

BIN := $(VENV)/bin
PY := $(BIN)/python

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## install what is missing and make the environment; quick when nothing changed
	@tools/setup.sh "$(VENV)" "$(PYTHON)"

.PHONY: run
run: setup ## start an agent on 127.0.0.1:8200 (PORT=…), store a first secret and read it
	@tools/run.sh "$(BIN)/freehold" "$(PORT)"

.PHONY: test
test: lint ## lint, then every test
	@$(PY) -m pytest

.PHONY: test-both
test-both: test ## `make test`, then the unit tests on the other supported interpreter (OTHER=python3.11)
	@$(MAKE) setup VENV=.venv-other PYTHON=$(OTHER)
	@.venv-other/bin/python -m pytest tests/unit

.PHONY: lint
lint: setup ## style, types, layers, and the rules of tools/house
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache importlinter.toml
	@$(PY) -m tools.house

.PHONY: format
format: setup ## let ruff write the style that `make lint` asks for
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format --quiet

.PHONY: bench
bench: setup ## Freehold beside OpenBao in one run: medians and ratios
	@$(PY) -m loadtests.side_by_side

.PHONY: durability
durability: setup ## kill -9 at random moments under 16 writers, 20 rounds, and what must hold afterwards
	@$(PY) -m loadtests.durability --rounds 20

.PHONY: lock
lock: ## choose and pin the newest versions that pyproject.toml and requirements/*.in allow (needs uv)
	@tools/lock.sh

.PHONY: clean
clean: ## remove what the targets made: environments, caches, the data of `make run`
	rm -rf .venv .venv-other .run .bench build dist ./*.egg-info .mypy_cache .ruff_cache \
	  .pytest_cache .hypothesis .import_linter_cache schemathesis-report
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
