# `make demo` and `make test` do all set-up themselves; everything else is for contributors.
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test long gate lint types clean setup

demo: setup
	$(BIN)/depthscope demo $(ARGS)

test: setup
	$(BIN)/python -m pytest $(ARGS)

long: setup
	$(BIN)/python -m pytest -m long $(ARGS)

gate: setup
	$(BIN)/python benchmarks/gate.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

setup: $(VENV)/.installed

# constraints.txt pins what was tested; torch there is the version whose CPU build pip finds without CUDA.
$(VENV)/.installed: pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
