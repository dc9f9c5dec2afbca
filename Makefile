# The ways in: `make up` starts everything, `make test` proves it, `make help` lists the rest.
# Needs make and a Python 3.11 or newer that can build virtual environments; everything else comes from the locks.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# A checkout is compiled once, not at each of the several hundred starts of a process that `make test` makes.
unexport PYTHONDONTWRITEBYTECODE
# A PYTHON in the environment or on the command line is the only one tried. The system's comes first: distributions build
# theirs with profiles, which is worth a seventh of the CPU time (docs/performance.md); pyenv's default does not.
PYTHONS := $(if $(PYTHON),$(PYTHON),/usr/bin/python3 python3 python3.13 python3.12 python3.11)
PIP_INSTALL := .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input
LOCKED := $(PIP_INSTALL) --require-hashes --only-binary :all: --no-deps

.PHONY: help up demo down reset quick test together check bench soak audit docs lock

help:
	@echo "make up      start caudal in the foreground; Ctrl-C stops it"
	@echo "make demo    the same, show one payment, stop; exit 0 if it went as it must"
	@echo "make down    stop the caudal of this folder      make reset   stop it and delete its data"
	@echo "make quick   the checks and the fast tests       make test    everything"
	@echo "make check   lint, types, import contracts       make docs    generate the generated pages again"
	@echo "make bench   the figures of the README; LONG=1 adds those of minutes, TIMES=5 takes medians of five"
	@echo "make audit   known vulnerabilities of the dependencies"
	@echo "make soak    ten minutes of faults, five failovers, 100,000 simulated histories; a page in docs/proof"
	@echo "make lock    write the lock files again (UPGRADE=--upgrade takes newer versions)"

# ---- running -----------------------------------------------------------------------------------------------------

# Webhooks of test mode may go to this machine: here a developer tries things out.
up demo: export CAUDAL_WEBHOOK_LOOPBACK ?= 1

# `exec`, so that Ctrl-C and the exit code have no shell in between.
up: .venv/.runtime
	@exec .venv/bin/caudal up

demo: .venv/.runtime
	@exec .venv/bin/caudal demo

down: .venv/.runtime
	@exec .venv/bin/caudal down

reset: down
	@exec .venv/bin/caudal reset

# ---- checking ----------------------------------------------------------------------------------------------------

quick: check
	@.venv/bin/python -m pytest -n 2 -m "not server"

# What measures nothing runs side by side, the checks too: they would keep one core alone.
test: .venv/.test
	@$(MAKE) --jobs 2 check together
	@.venv/bin/python -m pytest -m alone $$(grep -rl --include='*.py' 'mark\.alone' tests) || [ $$? -eq 5 ]

together: .venv/.test
	@.venv/bin/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder -m "not alone"

check: .venv/.test
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check --quiet || { echo "Run .venv/bin/ruff format" >&2; exit 1; }
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo

bench: .venv/.test
	@exec .venv/bin/python .ci/bench.py $(if $(LONG),--long) $(if $(TIMES),--times $(TIMES))

soak: .venv/.test
	@exec .venv/bin/python .ci/soak.py

audit: .venv/.made
	@exec .venv/bin/python .ci/audit.py

docs: .venv/.runtime
	@.venv/bin/python -m caudal_sandbox.provider.docs
	@.venv/bin/python -m caudal_ops
	@.venv/bin/python -m caudal_load.capacity.pages
	@exec .venv/bin/python -m caudal.app.docs

# ---- installing --------------------------------------------------------------------------------------------------

ifneq ($(shell test -x .venv/bin/python || echo missing),)
.PHONY: .venv/.made
endif
.venv/.made:
	@for python in $(PYTHONS); do \
	  version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2], sys.version_info >= (3, 11))' 2>/dev/null); \
	  case "$$version" in *True) ;; *) continue;; esac; \
	  found="$$python"; \
	  "$$python" -c 'import ensurepip, venv' 2>/dev/null || continue; \
	  "$$python" -m venv .venv && touch $@ && exit 0; \
	done; \
	if [ -n "$$found" ]; then \
	  echo "$$found cannot build a virtual environment: python3-venv is missing (apt-get install python3-venv)." >&2; \
	else \
	  echo "caudal needs Python 3.11 or newer; tried: $(PYTHONS). Name one: make PYTHON=/path/to/python3 …" >&2; \
	fi; exit 1

.venv/.runtime: .venv/.made requirements.txt pyproject.toml
	@echo "Installing what caudal needs into .venv (once; a minute or two) …"
	@$(LOCKED) -r requirements.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.test: .venv/.runtime requirements-test.txt
	@echo "Installing what the tests need into .venv …"
	@$(LOCKED) -r requirements-test.txt
	@touch $@

# The oldest supported Python writes the locks: what it needs is a superset of what the newer ones need.
COMPILE := env -u PIP_FIND_LINKS CUSTOM_COMPILE_COMMAND="make lock" \
	.venv-lock/bin/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	--strip-extras --allow-unsafe --build-deps-for editable $(UPGRADE)
lock:
	@test -x .venv-lock/bin/pip-compile || \
	  { $(or $(PYTHON),python3.11) -m venv .venv-lock && .venv-lock/bin/pip install --quiet pip-tools==7.6.2; }
	@$(COMPILE) --output-file requirements.txt pyproject.toml
	@$(COMPILE) --extra test --constraint requirements.txt --output-file requirements-test.txt pyproject.toml
