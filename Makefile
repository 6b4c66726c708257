# Needs Python 3.11+ (with its venv module), git and make; everything else is installed into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Which tests, and on how many processes: make test TESTS=tests/unit WORKERS=0
TESTS ?= tests
WORKERS ?= 2
AUTO ?=

.DEFAULT_GOAL := help
.PHONY: help demo test chaos bench check format clean

help:
	@echo "make demo          the whole way, on this machine: an agent asks, people decide, the call is sent once"
	@echo "make demo AUTO=1   the same, and the demo plays the people too"
	@echo "make test          all tests (about five minutes on two cores)"
	@echo "make chaos         long: kill -9, SIGTERM, disks, clocks, wires; CHAOS_KILLS=500, CHAOS_SEED=1, CHAOS_ONLY=wire"
	@echo "make bench         long: measures on this machine, writes the table in README.md; BENCH_BRIEF=1 writes nothing"
	@echo "make check         lint, format, types, import contracts"
	@echo "make format        let ruff format the tree"
	@echo "make clean         remove .venv and caches"

demo: $(VENV)/.installed
	@AUTO="$(AUTO)" $(BIN)/python -m examples.demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) $(TESTS)

chaos: $(VENV)/.installed-dev
	$(BIN)/python -W ignore -m tests.chaos

bench: $(VENV)/.installed-dev
	$(BIN)/python -W ignore -m benchmarks

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy examples
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

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
