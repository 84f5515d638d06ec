# `make demo` and `make test` set up everything they need; both may be run again at any time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)
export VIRTUAL_ENV := $(abspath $(VENV))

.PHONY: demo test test-cluster lint docs clean

demo: $(VENV)/.installed
	profiling simulate demo
	snakemake --cores all
	@echo 'The report is results/report.html, the tables lie in results/ (docs/tables.md describes them).'

test: $(VENV)/.installed
	pytest

# Faults and, where Slurm is up, a cluster: tens of minutes.
test-cluster: $(VENV)/.installed
	pytest -n 0 -s -m "slurm or faults" tests/workflow

lint: $(VENV)/.installed
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile rules

docs: $(VENV)/.installed
	profiling docs

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it: make demo PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --compile-bytecode --constraint constraints.txt --editable '.[test,slurm]'
	touch $@

clean:
	rm -rf demo results logs .snakemake
