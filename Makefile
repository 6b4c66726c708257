# Needs Python 3.11+ (with its venv module), git and make; everything else is installed into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Which tests, and on how many processes: make test TESTS=tests/unit WORKERS=0
TESTS ?= tests
WORKERS ?= 5
AUTO ?=

# Empty is off: what hundreds of processes of the tests import is compiled once, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test again fuzz chaos bench frameworks check attack audit sbom format clean

help:
	@echo "make demo          the whole way, on this machine: an agent asks, people decide, the call is sent once"
	@echo "make demo AUTO=1   the same, and the demo plays the people too"
	@echo "make test          all tests (about ten minutes on two cores; much of it is waiting)"
	@echo "make again         those that failed in the last run, one after the other"
	@echo "make fuzz          schemathesis against /openapi.json of a running service, for ten minutes"
	@echo "make chaos         long: kill -9, SIGTERM, disks, clocks, wires; CHAOS_KILLS=500, CHAOS_SEED=1, CHAOS_ONLY=wire"
	@echo "make bench         long: measures on this machine, writes the table in README.md; BENCH_BRIEF=1 writes nothing"
	@echo "make frameworks    the agents of examples/frameworks: LangGraph, OpenAI Agents, Pydantic AI, asyncio, own API"
	@echo "make check         lint, format, types, import contracts"
	@echo "make attack        the tests of every attack that THREAT_MODEL.md and docs/security.md name"
	@echo "make audit         known advisories against what is installed (asks the network)"
	@echo "make sbom          a CycloneDX bill of materials of what the service is made of: build/sbom.json"
	@echo "make format        let ruff format the tree"
	@echo "make clean         remove .venv and caches"

demo: $(VENV)/.installed
	@AUTO="$(AUTO)" $(BIN)/python -m examples.demo

test: $(VENV)/.installed-dev
	@$(MAKE) --no-print-directory $(VENV)-frameworks/.installed \
	  || echo "the frameworks cannot be had here: the tests that need them are skipped by name" >&2
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

again: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 0 --last-failed --last-failed-no-failures none $(TESTS)

fuzz: $(VENV)/.installed-dev
	FUZZ_SECONDS=150 $(BIN)/python -m pytest -n 0 tests/integration/openapi

chaos: $(VENV)/.installed-dev
	$(BIN)/python -W ignore -m tests.chaos

# BENCH_ONLY=rivals,decision runs some of them and writes nothing.
bench: $(VENV)/.installed-dev $(VENV)-bench/.installed
	$(BIN)/python -W ignore -m benchmarks $(if $(BENCH_ONLY),--only $(BENCH_ONLY))

frameworks: $(VENV)/.installed-dev $(VENV)-frameworks/.installed
	$(BIN)/mypy --python-executable $(VENV)-frameworks/bin/python --cache-dir .mypy_cache/frameworks \
	  examples/frameworks/on_*.py examples/frameworks/scripted
	$(BIN)/python -m pytest -n 0 tests/examples/test_frameworks.py

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy examples
	$(BIN)/lint-imports

# What is named is all over the tree, so that all of it is collected.
attack: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m attack

audit: $(VENV)/.installed-dev
	$(BIN)/python -m tests.attack.supply audit

sbom: $(VENV)/.installed-dev
	$(BIN)/python -m tests.attack.supply sbom

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(VENV)-bench $(VENV)-frameworks .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# Stamps, so that nothing is installed twice; a changed pyproject.toml installs again.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $(VENV)/.installed $@

# What benchmarks compare with, and what examples are written for, is in places of their own: their plugins and versions
# are none of the tests' business.
$(VENV)-%/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(VENV)-$*/bin/python -m pip install --quiet --group $*
	@touch $@
