# make run     everything in the foreground, on $PORT (8000), with its data in $DATA_DIR (data); with MONITORING=1, Flower, celery-exporter and the workers' metrics too
# make test    every test that needs no more than this machine
# make test-fast   the unit tests that need little, in less than a minute
# make lint    ruff, mypy and bandit; and the Lua scripts
# make fault   longer tests: real faults in real processes
# make containers   builds the images and runs compose's stack in a Docker engine that it makes; root, Debian; 14 minutes
# make model   trains the embedded model from labelled data: make model DATA=/path; takes hours on a CPU, resumes where it was stopped
# make bench   compares the speed with what people would otherwise use: make bench DATA=tweets.tsv.gz [QUICK=1]; 15 minutes, or 3
# make bench MODEL=FOLDER   the same for a model of yours: compiled, by torch, and in a plain service; 10 minutes, or 2
# make soak    checks under mixed load that nothing grows: make soak [MINUTES=30]
# make screenshots   the README's pictures of the pages, anew, in docs/; needs Debian's chromium
# make wheel   dist/sentiq-*.whl, for pip install on another machine
# make locks   locks/*.txt, what `make run` installs with the digest of each file, anew from constraints.txt
# make help    this list

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# Without bytecode each process compiles all of its modules at its start: a fifth of what that takes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test test-fast lint fault containers model bench soak screenshots wheel locks clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

# EXTRAS=torch installs what other models than the embedded one need, otel what traces need; torch,otel installs both.
EXTRAS ?=

# exec and the parent's pid: the launcher ends with make, even when make is killed.
run: $(VENV)/.run$(EXTRAS) $(if $(filter 1 true t yes y on,$(MONITORING)),.venv-monitoring/.done)
	@SENTIQ_PARENT=$$PPID exec $(BIN)/sentiq serve

# Most tests wait for other processes most of the time. The longest files come first, not those with the most tests.
TEST_PROCESSES ?= 3

test: $(VENV)/.dev
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder tests/e2e tests/integration tests/unit

# Files that need neither a model nor a service of many processes, and no tests that take several seconds.
SLOW_TASKS := $(patsubst %,tests/unit/tasks/test_%.py,coalescer_states comparing job_bytes jobs kept_bytes patch_sparse_files private probe remarks sender shifts stream_labels stream_turns streams turns)
FAST := $(patsubst %,tests/unit/test_%.py,docs imports lua metrics_table patches promises) \
  $(filter-out $(SLOW_TASKS),$(sort $(wildcard tests/unit/tasks/test_*.py))) \
  $(patsubst %,tests/unit/webapp/test_%.py,api_keys columns events explained files front launch link_time looking names parts preview requests results said security signing times)

test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile $(FAST)

fault: $(VENV)/.dev
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile tests/fault

# One at a time: the tests share one stack. With CONTAINERS_ROOTS=FOLDER Debian's packages stay there for the next run.
containers: $(VENV)/.dev
	$(BIN)/python -m pytest tests/containers

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy webapp tasks model celeryconfig.py tests
	$(BIN)/bandit -q -ll -c pyproject.toml -r webapp tasks model celeryconfig.py
	$(BIN)/python -m tests.support.lua

RUN ?= runs/second

# By default glibc returns freed memory to the kernel and asks for it again at each step, which takes a third of the time on a CPU.
model: $(VENV)/.training
	@test -d "$(DATA)" || { echo "Give the folder that holds train, dev, test and unlabelled: make model DATA=/path"; exit 1; }
	MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456 \
	  $(BIN)/python -m model.training all --data "$(DATA)" --run $(RUN) $(if $(BASES),--bases "$(BASES)")
	$(BIN)/python -m benchmarks.certainty "$(DATA)" --write

# The benchmark makes the environments of the other systems itself: .venv-bench and .venv-bench-infinity.
bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.bench $(if $(QUICK),--quick) $(if $(DATA),--data "$(DATA)") $(if $(MODEL),--model "$(MODEL)")

MINUTES ?= 30

soak: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

screenshots: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.screenshots

# Files of an earlier build/ would get into the wheel.
wheel: | $(BIN)/python
	@rm -rf build
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@ls dist/*.whl

# From constraints.txt, whenever that has changed. The address of a registry does not get into the files.
lock = $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --constraint constraints.txt --no-annotate --no-header --no-emit-index-url

locks: $(VENV)/.dev
	@echo setuptools | $(lock) - pyproject.toml --extra server --output-file locks/server.txt >/dev/null
	@echo uv | $(lock) - --output-file locks/uv.txt >/dev/null

clean:
	rm -rf $(VENV) .venv-bench* .venv-monitoring build dist *.egg-info

# An update of the system may take an environment's Python away, or put another version in its place, which does not see what is installed.
ifneq ($(filter-out help clean,$(or $(MAKECMDGOALS),help)),)
ifeq ($(findstring n,$(firstword -$(MAKEFLAGS))),)
gone := $(shell for venv in $(VENV) .venv-monitoring; do \
  test -e $$venv/pyvenv.cfg || continue; \
  test -x $$venv/bin/python && test "$$($$venv/bin/python -c 'import os, sysconfig; print(os.path.isdir(sysconfig.get_path("purelib")))')" != False && continue; \
  rm -rf $$venv && echo $$venv; done)
$(foreach venv,$(gone),$(info The Python of $(venv) is gone, or has another version now; the environment is made anew.))
endif
endif

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Sentiq needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1 || echo missing). Name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Python's venv module is needed (Debian's package python3-venv)."; exit 1; }

# uv takes a fifth of pip's time; if it fails (it does not read pip's configuration, such as mirrors), pip is used.
comma := ,
UV := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python
install = $(PIP) uv && $(UV) --constraint constraints.txt $(2) --editable '$(1)' 2>/dev/null \
  || $(PIP) $(2) --editable '$(1)'

# What the service needs, each file by its digest, for Linux and macOS alike; and what builds and installs it.
LOCKS ?= locks
locked := $(wildcard $(LOCKS)/server.txt)
HASHED := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

$(VENV)/.run$(EXTRAS): pyproject.toml constraints.txt $(locked) | $(BIN)/python
	@echo "Installing Sentiq into $(VENV); once, less than a minute."
ifneq ($(locked),)
	@{ $(HASHED) --requirement $(LOCKS)/uv.txt && $(UV) --require-hashes --requirement $(locked) 2>/dev/null; } || $(HASHED) --requirement $(locked) || { \
	  echo "The packages that $(locked) lists by their digests could not be installed; the lines above say why. Nothing else was taken in their place."; exit 1; }
endif
	@$(if $(findstring torch,$(EXTRAS)),$(PIP) torch)
	@$(call install,.[server$(if $(EXTRAS),$(comma)$(EXTRAS))],$(if $(locked),--no-build-isolation $(if $(EXTRAS),,--no-deps)))
	@touch $@

# torch is installed by pip, which takes a build without CUDA if one is at hand.
$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Sentiq with torch, test tools and linters into $(VENV); once, a minute or a few."
	@$(PIP) torch
	@$(call install,.[server$(comma)torch$(comma)test$(comma)lint])
	@touch $@ $(VENV)/.run

# A separate environment, because celery-exporter's pins conflict with Sentiq's.
.venv-monitoring/.done: monitoring/requirements.txt
	@echo "Installing Flower and celery-exporter into .venv-monitoring; once, half a minute."
	@$(PYTHON) -m venv .venv-monitoring
	@.venv-monitoring/bin/python -m pip install --quiet --disable-pip-version-check --requirement monitoring/requirements.txt
	@touch $@

$(VENV)/.training: $(VENV)/.dev
	@$(call install,.[training])
	@touch $@
