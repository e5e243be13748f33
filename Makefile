# Everything that a person or the build server does with this folder. `make help` lists it.
# Needs python3 (3.11 or newer) and make; all else goes into .venv, in the versions of the lock files.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
HASHED := $(PIP) install --quiet --require-hashes
OURSELVES := $(PIP) install --quiet --no-deps --no-build-isolation --editable .
LOCK := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" $(UPGRADE)
DEMO := $(CURDIR)/demo-library
MEASURED := build/benchmarks

# A stamp says that .venv holds what the lock says; it is older than a lock that was changed since.
RUNTIME := $(VENV)/.runtime-installed
DEVELOPMENT := $(VENV)/.development-installed

.DEFAULT_GOAL := help
.NOTPARALLEL:
.SHELLFLAGS := -euc

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(RUNTIME) ## watch DATA_DIR, or without one a small library of tones in demo-library/
	@if [ -z "$${DATA_DIR:-}$${WATCH_DIR:-}$${FILE_WATCHER_SCAN_PATH:-}" ]; then \
		$(PY) -m file_watcher.demo '$(DEMO)'; \
		export DATA_DIR='$(DEMO)'; \
	fi; \
	exec $(PY) -m file_watcher run

.PHONY: install
install: $(RUNTIME) ## make .venv with what a run needs

.PHONY: install-dev
install-dev: $(DEVELOPMENT) ## make .venv with what tests and linters need as well

.PHONY: test
test: $(DEVELOPMENT) test-servers lint ## everything: linters, types, directions, all tests, coverage
	$(PY) -m coverage erase
	$(PY) -m pytest --numprocesses 3 --dist worksteal --durations 25 --cov --cov-report=term --cov-fail-under=90

.PHONY: unit
unit: $(DEVELOPMENT) ## the tests that need no server
	$(PY) -m pytest tests/unit -q

.PHONY: test-servers
test-servers: $(DEVELOPMENT) ## install Debian's RabbitMQ, PostgreSQL and ffmpeg for the tests, if missing
	@$(PY) -B -m tests.support.debian

.PHONY: lint
lint: $(DEVELOPMENT) ## ruff, mypy --strict and the directions between the folders; changes nothing
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

.PHONY: format
format: $(DEVELOPMENT) ## format the sources and mend what ruff can mend safely
	$(PY) -m ruff check --fix-only
	$(PY) -m ruff format

.PHONY: bench
bench: $(DEVELOPMENT) test-servers ## every promise about speed against its limit; never part of the tests (ARGS="…")
	$(PY) -m tests.benchmarks --json $(MEASURED)/table.json $(ARGS)

.PHONY: bench-curves
bench-curves: $(DEVELOPMENT) test-servers ## pictures: block sizes, import rates, instances on one broker (ARGS="…")
	$(PY) -m tests.benchmarks.curves --folder $(MEASURED) $(ARGS)

.PHONY: bench-growth
bench-growth: $(DEVELOPMENT) test-servers ## picture of 1,000 to 500,000 files; takes 20 minutes (ARGS="--sizes 1000,10000")
	$(PY) -m tests.benchmarks.curves growth --folder $(MEASURED) $(ARGS)

.PHONY: flame
flame: $(DEVELOPMENT) test-servers ## flame graph of an import with py-spy (ARGS=--gil: who holds the interpreter's lock)
	$(PY) -m tests.benchmarks.flame --output $(MEASURED)/flame.svg $(ARGS)

.PHONY: soak
soak: $(DEVELOPMENT) test-servers ## the long tests: the mirror with 20 seeds (MIRROR_SEEDS="1 2 …"), many files, slow faults
	$(PY) -m pytest tests/e2e -m soak -q -s $(ARGS)

.PHONY: lock
lock: $(DEVELOPMENT) ## write the lock files anew from pyproject.toml (UPGRADE=--upgrade for newer versions)
	$(LOCK) pyproject.toml --output-file requirements.lock
	$(LOCK) pyproject.toml --extra dev --output-file requirements-dev.lock
	$(LOCK) --group build --output-file requirements-build.lock

.PHONY: clean
clean: ## remove .venv, caches and reports (demo-library stays: it may hold files of yours)
	rm -rf $(VENV) build dist htmlcov coverage.xml .coverage .coverage.* \
		.hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find file_watcher tests -name __pycache__ -prune -exec rm -rf {} +

$(RUNTIME): requirements.lock requirements-build.lock pyproject.toml | $(PY)
	@echo "installing file_watcher into $(VENV)"
	@$(HASHED) -r requirements.lock -r requirements-build.lock
	@$(OURSELVES)
	@touch $@

$(DEVELOPMENT): requirements-dev.lock pyproject.toml | $(PY)
	@echo "installing file_watcher and its development tools into $(VENV)"
	@$(HASHED) -r requirements-dev.lock
	@$(OURSELVES)
	@touch $@

# Debian keeps the venv module's other half (ensurepip) in a package of its own.
$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "file_watcher needs Python 3.11 or newer, and $(PYTHON) is not: $$($(PYTHON) --version 2>&1)."; \
		echo "Name another one: make PYTHON=/usr/bin/python3.12"; exit 2; } >&2
	@$(PYTHON) -c 'import ensurepip, venv; ensurepip.version()' 2>/dev/null || { \
		install="apt-get install -q -y python3-venv"; \
		if ! command -v apt-get >/dev/null; then become=none; \
		elif [ "$$(id -u)" = 0 ]; then become="env"; \
		elif sudo -n true 2>/dev/null; then become="sudo -n env"; else become=none; fi; \
		if [ "$$become" = none ]; then \
			echo "$(PYTHON) cannot make virtual environments. As root: $$install (or your system's like)."; \
			exit 2; \
		fi; \
		echo "installing python3-venv (a Debian package)"; \
		$$become apt-get update -q </dev/null; \
		$$become DEBIAN_FRONTEND=noninteractive $$install </dev/null; \
		$(PYTHON) -c 'import ensurepip, venv; ensurepip.version()' || { \
			echo "$(PYTHON) still cannot make virtual environments. Try: make PYTHON=/usr/bin/python3"; \
			exit 2; }; } >&2
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 2; }
