# The one list of commands. `make` alone prints it.
#
#   PYTHON=python3.11   the interpreter to make the environment with (default: the newest suitable)
#   VENV=.venv          where the environment is

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Test modules are rewritten for pytest: without their bytecode each process does it each time anew.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?=
VENV ?= .venv
PORT ?= 8200
# Where `make run` keeps its data.
RUN ?= .run
# Of the tests: how many files run at once. More than cores, for half of it is waiting for others; 1 GiB each.
JOBS ?= $(shell echo $$(($$(nproc) * 5 / 2)))
# The unit tests without those of a whole control plane, of databases and of processes.
FAST := tests/unit $(addprefix --ignore=tests/unit/,control/compliance control/gateway control/live control/services \
  deploy loadtests vault/audit/sinks vault/store vault/workers)
# Of each kind of fault in `make durability`.
ROUNDS ?= 200
# Of `make simulate`: how many seeds, and after how many minutes no other begins.
SEEDS ?= 100
MINUTES ?= 1000000
# Of `make iac-check`: where a Debian, wheels and chroots are kept.
IAC ?= .iac
# Of `make lint`: what else is done while one core looks at types.
BESIDE_TYPES :=
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
	@tools/web.sh

.PHONY: run
run: setup ## start a control plane and two agents from 127.0.0.1:8200 on (PORT=…); a first secret
	@tools/run.sh "$(BIN)/freehold" "$(PORT)" "$(RUN)"

# Before the processes that run tests begin: else each of them would compile all their modules.
test: BESIDE_TYPES := $(PY) -m pytest --collect-only --quiet --quiet > /dev/null || true

.PHONY: test
test: lint ## lint, then every test, five files at once on two cores (JOBS=…)
	@$(PY) -m pytest --numprocesses $(JOBS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.PHONY: test-fast
test-fast: lint ## lint, then the tests of pure logic: a minute, for the inner loop
	@$(PY) -m pytest -q --numprocesses logical --dist loadfile $(FAST)

.PHONY: test-both
test-both: test ## `make test`, then the unit tests on the other supported interpreter (OTHER=python3.11)
	@$(MAKE) setup VENV=.venv-other PYTHON=$(OTHER)
	@.venv-other/bin/python -m pytest --numprocesses $(JOBS) --maxprocesses 8 --dist loadfile tests/unit

.PHONY: lint
lint: setup ## style, types, layers, and the rules of tools/repo_lint
	@$(BIN)/mypy --no-error-summary & types=$$!; status=0; \
	  $(BIN)/ruff check --quiet || status=1; \
	  $(BIN)/ruff format --check --quiet || status=1; \
	  $(BIN)/lint-imports --no-cache importlinter.toml || status=1; \
	  $(PY) -m tools.repo_lint || status=1; \
	  npm --prefix ui/web run --silent check || status=1; \
	  $(or $(BESIDE_TYPES),true); \
	  wait $$types || status=1; exit $$status

.PHONY: format
format: setup ## let ruff write the style that `make lint` asks for
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format --quiet
	@cd ui/web && npm run --silent format

.PHONY: man
man: setup ## manual pages of the command line, into build/man
	@$(PY) -m tools.man build/man

# What builds releases lives in an environment of its own, too.
RELEASE := .release/tools/bin/python
.release/tools/.stamp: requirements/release.txt | setup
	@$(PY) -m venv --clear .release/tools
	@$(RELEASE) -m pip --disable-pip-version-check --quiet install --require-hashes -r $<
	@touch $@

.PHONY: wheel
wheel: .release/tools/.stamp ## the wheel of the last commit, and its bill of materials, into dist (SIGN_KEY=cosign.key)
	@$(RELEASE) -m tools.release wheel

.PHONY: binary
binary: wheel ## a folder that needs no Python, for this machine's system and processor
	@$(RELEASE) -m tools.release binary

.PHONY: packages
packages: binary ## .deb and .rpm around the same folder
	@$(RELEASE) -m tools.release packages

.PHONY: packages-check
packages-check: ## install each kind in chroots and fresh environments, as far as a first secret (root; KINDS="deb rpm …")
	@$(RELEASE) -m tools.release.check $(KINDS)

# The opponent and the load generators live in an environment of their own.
BENCH := .bench/venv/bin/python
.bench/venv/.stamp: requirements/bench.txt | setup
	@$(PY) -m venv --clear .bench/venv
	@$(BENCH) -m pip --disable-pip-version-check --quiet install --require-hashes -r $<
	@touch $@

.PHONY: bench-logins
bench-logins: setup ## logins by each method beside OpenBao, and reads with their tokens (RUN_SECONDS=5, TIMES=3)
	@FREEHOLD=$(BIN)/freehold $(PY) -m loadtests.logins --seconds $(or $(RUN_SECONDS),5) --rounds $(or $(TIMES),3)

.PHONY: differential
differential: setup ## random calls of Vault's API to OpenBao and to an agent, compared (CALLS=100000, SEED=1): .fuzz
	@$(PY) -m tests.acceptance.compat.differential --calls $(or $(CALLS),100000) --seed $(or $(SEED),1)

.PHONY: bench-backups
bench-backups: setup ## backups of many secrets on each database (SECRETS=100000, BACKEND=sqlite, WORKERS=1)
	@$(PY) -m loadtests.backups --secrets $(or $(SECRETS),100000) $(if $(BACKEND),--backend $(BACKEND)) $(if $(WORKERS),--workers $(WORKERS))

.PHONY: bench-snapshots
bench-snapshots: setup ## backups beside OpenBao's raft snapshots: CPU, memory (SECRETS=20000): docs/benchmarks
	@$(PY) -m loadtests.snapshots --secrets $(or $(SECRETS),20000)

.PHONY: bench
bench: .bench/venv/.stamp ## Freehold beside OpenBao in one run (QUICK=1, FULL=1, MILLION=1, POSTGRESQL=1): docs/benchmarks
	@$(PY) -m compileall -q -x node_modules actors protocols vault ui  # as an installation does
	@FREEHOLD=$(BIN)/freehold $(BENCH) -m loadtests.bench \
	  $(if $(QUICK),--quick) $(if $(FULL),--full) $(if $(MILLION),--million) $(if $(POSTGRESQL),--postgresql)

.PHONY: overload
overload: .bench/venv/.stamp ## both past their capacity, with slow clients and sick disks (QUICK=1): docs/benchmarks
	@FREEHOLD=$(BIN)/freehold $(BENCH) -m loadtests.overload $(if $(QUICK),--quick)

.PHONY: locust
locust: .bench/venv/.stamp ## users, jobs and administrators at 1,000 requests a second; fails when the bar is missed
	@FREEHOLD=$(BIN)/freehold $(BENCH) -m loadtests.mixed_load $(if $(QUICK),--quick)

.PHONY: turns
turns: .bench/venv/.stamp ## this tree beside another commit, in turns (AGAINST=COMMIT, OP=write, WORKERS=1, TURNS="--http 2 …")
	@FREEHOLD=$(BIN)/freehold $(BENCH) -m loadtests.commit_comparison --operation $(or $(OP),read) --workers $(or $(WORKERS),2) \
	  $(TURNS) $(AGAINST)

.PHONY: steps
steps: .bench/venv/.stamp ## the bytecodes and calls of a request by function (OP=write, WORKERS=2)
	@FREEHOLD=$(BIN)/freehold $(BENCH) -m loadtests.bytecode_profile --operation $(or $(OP),read) --workers $(or $(WORKERS),1)

.PHONY: bench-fleet
bench-fleet: setup ## 100 and 1,000 simulated agents on a control plane (FULL=1: 10,000 too; QUICK=1): docs/benchmarks
	@FREEHOLD=$(BIN)/freehold $(PY) -m loadtests.fleet $(if $(FULL),--full) \
	  $(if $(QUICK),--agents 100 --out .bench/quick)

.PHONY: bench-screen
bench-screen: setup ## the dashboard in Chromium: time to the screen, bytes, memory (FULL=1: 10,000 agents too): docs/benchmarks
	@$(PY) -m loadtests.dashboard $(if $(FULL),--full)

.PHONY: pictures
pictures: setup ## the README's pictures, taken anew of a seeded fleet and a real agent: docs/pictures
	@$(PY) -m tests.browser.pictures

.PHONY: durability
durability: setup ## kill -9, power cuts and failing system calls, and what must hold (ROUNDS=200; QUICK=1: short): docs/benchmarks
	@$(PY) -m loadtests.durability --rounds $(if $(QUICK),3 --story write --most 2,$(ROUNDS) --out docs/benchmarks)

.PHONY: consistency
consistency: setup ## three agents on a database, and what clients of all of them may see (BACKEND=mysql, sqlite; QUICK=1: short)
	@$(PY) -m loadtests.consistency --backend $(or $(BACKEND),postgresql) \
	  $(if $(filter 0,$(shell id -u)),--full-disk 1) --set-back 1 --stop 1 --cut 1 $(if $(QUICK),\
	  --operations 3000 --delayed 300 --kill 8 --restart 1 --commit-cuts 18 --failover 1 --tokens 1000,\
	  --operations 100000 --delayed 100000 --kill 200 --restart 3 --commit-cuts 500 \
	  --failover 10 --tokens 100000)

.PHONY: hsm-kills
hsm-kills: setup ## kill -9 of the HSM's helper processes at random moments of init, unseal, rotation and migration (ROUNDS=200)
	@$(PY) -m tests.contract.key_providers.kills --rounds $(ROUNDS)

.PHONY: seal-starts
seal-starts: setup ## from an agent's start to unsealed, and a read, by each kind of seal (STARTS=5)
	@$(PY) -m tests.contract.key_providers.starts --starts $(or $(STARTS),5)

.PHONY: break-glass-kills
break-glass-kills: setup ## kill -9 of an agent at random moments of an opening by break-glass (ROUNDS=200)
	@$(PY) -m tests.acceptance.serve.break_glass_kills $(ROUNDS)

.PHONY: mutants
mutants: setup ## plant 100 careless changes and report those that no test notices (ONLY=audit, ALSO=tests/…)
	@$(PY) -m tools.mutants $(if $(ONLY),--only $(ONLY)) $(if $(ALSO),--also $(ALSO))

.PHONY: simulate
simulate: setup ## a fleet under a seeded scheduler, clock, network and faults (SEEDS=100; MINUTES=…): docs/development/simulation.md
	@$(PY) -m tests.simulation --seeds $(SEEDS) --minutes $(MINUTES)

.PHONY: rotation-kills
rotation-kills: setup ## rotate a user at a PostgreSQL while the agent is killed at each state (KILLS=500)
	@$(PY) -m tests.acceptance.rotation.kills --kills $(or $(KILLS),500)

.PHONY: image
image: ## images of agent, control plane, operator and command line, on a Debian by debootstrap (ARCH=arm64; as root)
	@tools/image.sh $(or $(ARCH),$$(dpkg --print-architecture))

.PHONY: image-check
image-check: setup ## run the images: first start, unseal, read-only root, restart, upgrade, SIGTERM (TAG=…, OLD=…, QUICK=1)
	@$(PY) -m tools.image_check $(if $(TAG),--tag $(TAG)) $(if $(OLD),--old $(OLD)) $(if $(QUICK),--quick)

.iac/venv/.stamp: requirements/iac.txt | setup
	@$(PY) -m venv --clear .iac/venv
	@.iac/venv/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r $<
	@touch $@

.PHONY: iac-check
iac-check: .iac/venv/.stamp ## cfn-lint, checkov, and images and the Ansible role installed into chroots (as root; ONLY=lint: without)
	@$(PY) -m tools.iac_check $(if $(ONLY),--only $(ONLY)) --folder $(IAC)

.PHONY: charts-check
charts-check: setup ## run the pods of the Helm charts with podman, on the images of `make image` (TAG=…; as root)
	@$(PY) -m tools.charts_check $(if $(TAG),--tag $(TAG))

.PHONY: lock
lock: ## choose and pin the newest versions that pyproject.toml and requirements/*.in allow (needs uv)
	@tools/lock.sh

.PHONY: clean
clean: ## remove what the targets made: environments, caches, the data of `make run`
	rm -rf .venv .venv-other .run .run-* .bench .fuzz .iac .image .release build dist ./*.egg-info .mypy_cache .ruff_cache \
	  .pytest_cache .hypothesis .import_linter_cache schemathesis-report ui/web/dist ui/web/build ui/web/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
