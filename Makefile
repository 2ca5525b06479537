# make run     everything in the foreground, on $PORT (8000)
# make test    every test that needs no more than this machine
# make lint    ruff and mypy
# make fault   what takes longer: real processes, real faults
# make help    this list

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help run test lint fault clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

# EXTRAS=torch installs what other models than the embedded one need.
EXTRAS ?=

# exec and the parent's pid: the launcher ends with make, even when make is killed.
run: $(VENV)/.run$(EXTRAS)
	@SENTIQ_PARENT=$$PPID exec $(BIN)/python -m webapp.launch

test: $(VENV)/.dev
	$(BIN)/python -m pytest tests/unit tests/integration tests/e2e

fault: $(VENV)/.dev
	$(BIN)/python -m pytest tests/fault

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy webapp tasks model celeryconfig.py tests

clean:
	rm -rf $(VENV) build *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Sentiq needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1 || echo missing). Name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Python's venv module is needed (Debian's package python3-venv)."; exit 1; }

# uv takes a fifth of pip's time; where it fails (it does not read pip's configuration, mirrors say), pip does it.
comma := ,
install = $(PIP) uv && $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '$(1)' 2>/dev/null \
  || $(PIP) --editable '$(1)'

$(VENV)/.run$(EXTRAS): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Sentiq into $(VENV); once, less than a minute."
	@$(if $(EXTRAS),$(PIP) $(EXTRAS))
	@$(call install,.$(if $(EXTRAS),[$(EXTRAS)]))
	@touch $@

# torch by pip, which takes a build without CUDA where one lies at hand.
$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Sentiq with torch, test tools and linters into $(VENV); once, a minute or a few."
	@$(PIP) torch
	@$(call install,.[torch$(comma)test$(comma)lint])
	@touch $@ $(VENV)/.run
