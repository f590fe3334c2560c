# `make reproduce` and `make test` each do all their set-up; `make help` lists the rest.

RECENT := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(RECENT)' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BENCHMARK ?= default
CORES ?= all
RESULTS ?= results
READY := $(VENV)/.ready
# Errors alone are shown. Modules are compiled afterwards, on all cores at once.
QUIETLY := --quiet --quiet --no-compile --disable-pip-version-check
# Where PYTHONDONTWRITEBYTECODE is set, as in many containers, each process would compile torch and
# transformers anew, in 7 s. Templates of modules do not compile, and are left as they are.
COMPILE := python -m compileall -qq -j 0 $(VENV)/lib
# A file's tests stay together, as they share what they make; the longest files begin.
TESTS := python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --ignore tests/slurm
# The project's own modules are compiled as they are imported.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup reproduce test test-thorough test-matrix test-faults test-slurm lint format lock wandb-sync clean

help: ## Show what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## Create .venv with the pinned dependencies

# torch goes first, by itself: the lock holds everything else with hashes.
$(READY): pyproject.toml requirements.lock
	@[ -n "$(PYTHON)" ] && $(PYTHON) -c '$(RECENT)' || \
		{ echo "finegrid needs Python 3.11 or later; name one with: make PYTHON=/path/to/python3"; exit 1; }
	@echo "setting up $(VENV) with the pinned dependencies; this takes a few minutes, once"
	@$(PYTHON) -m venv $(VENV)
	@python -m pip install $(QUIETLY) "$$(grep -o 'torch==[0-9.]*' pyproject.toml)"
	@python -m pip install $(QUIETLY) --require-hashes -r requirements.lock
	@PYTHONWARNINGS=ignore python -m pip install $(QUIETLY) --no-deps \
		--no-build-isolation --editable .
	@$(COMPILE) || true
	@touch $@

reproduce: $(READY) ## Run the default benchmark and print its table (BENCHMARK=..., CORES=...)
	@finegrid reproduce $(BENCHMARK) --cores $(CORES)

test: $(READY) ## Run the tests, in a few minutes
	@$(TESTS) -m "not thorough" --ignore tests/faults

test-thorough: $(READY) ## Run those that `make test` leaves out: further cases, processes, faults
	@$(TESTS) -m thorough

test-matrix: $(READY) ## Run the tests of methods on every architecture, and count all that is published
	@python -m pytest -q -n 2 --matrix tests/methods/test_contract.py tests/published_counts/test_carried.py

test-faults: $(READY) ## Inject faults alone, and check that nothing is lost
	@python -m pytest -q -n 2 --dist loadfile tests/faults

# Where Slurm cannot be installed, the tests are skipped and say why.
test-slurm: $(READY) ## Run a benchmark on a Slurm of this machine's own (as root; installs it)
	@which munged slurmctld slurmd > /dev/null 2>&1 || [ "$$(id -u)" != 0 ] || \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes \
		--no-install-recommends slurm-wlm munge > /dev/null; } || \
		echo "slurm-wlm and munge cannot be installed here"
	@python -m pytest -q tests/slurm

lint: $(READY) ## Check style, types and the workflow
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow/rules
	mypy
	snakemake --lint

format: $(READY) ## Rewrite the sources in the house style
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow/rules

define LOCK_HEADER
# Every package but torch, with the hashes of all its files, as pinned in pyproject.toml.
# torch comes first and apart: which build of it fits depends on the machine.
# Made by `make lock`.
endef
export LOCK_HEADER

lock: $(READY) ## Write requirements.lock from pyproject.toml
	pip-compile --quiet --extra development --generate-hashes --strip-extras --allow-unsafe \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header \
		--output-file requirements.lock pyproject.toml
	sed -i -e '/^torch==/,/^[^ ]/{/^torch==/d;/^ /d}' -e '1e echo "$$LOCK_HEADER"' requirements.lock

# Those of recorded runs alone, each once: what is uploaded again is appended to what is there.
wandb-sync: $(READY) ## Upload the offline mirrors of recorded runs to Weights & Biases (RESULTS=...)
	@find $(RESULTS)/runs -mindepth 3 -maxdepth 3 -path '*/wandb/offline-run-*' \
		-exec test -e '{}/../../result.json' ';' -print0 | xargs -0 -r wandb sync

clean: ## Remove .venv; results stay
	rm -rf $(VENV)
