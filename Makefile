# Needs Python 3.11 or newer and make; everything else goes into .venv.
PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
READY := $(VENV)/.ready
DOCS_READY := $(VENV)/.docs-ready
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt
# One thread a worker: the workers are as many as the cores, and threads that wait for each other are slow.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
# What the demo trains: a file of values/ or of policies/.
FAMILY ?= monte_carlo
QM9 := configs/molecules/qm9
VALUE := $(wildcard $(QM9)/values/$(FAMILY).yaml)
POLICY := $(wildcard $(QM9)/policies/$(FAMILY).yaml)
FAMILIES := $(basename $(notdir $(sort $(wildcard $(QM9)/values/*.yaml) $(wildcard $(QM9)/policies/*.yaml))))
# The demos besides that of QM9: of each, `svlearn train-value` and `svlearn evaluate` know the parts by the name.
DOMAIN ?= qm9
DEMOS := $(filter-out qm9, $(notdir $(patsubst %/demo.yaml, %, $(sort $(wildcard configs/*/*/demo.yaml)))))
# A folder of benchmarks/ that has a run.py is a study.
STUDIES := $(patsubst benchmarks/%/run.py, %, $(sort $(wildcard benchmarks/*/run.py)))
SOAKS := $(filter soak_%, $(STUDIES))
MINUTES ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-lowest lint bench soak tutorials docs dist clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(READY) ## install svlearn and its tools into .venv; quick when nothing changed

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"svlearn needs Python 3.11 or newer, got " + sys.version.split()[0] + "; try make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) setuptools wheel
	$(INSTALL) --no-build-isolation --editable '.[molecules,docking,metrics,sequences,images,language,dev]'
	@touch $@

$(DOCS_READY): $(READY)
	$(INSTALL) --no-build-isolation --editable '.[docs]'
	@touch $@

demo: $(READY) ## train a value, guide with it and write a report; FAMILY=soft_q: another; DOMAIN=utr5: of sequences
	$(if $(filter qm9 $(DEMOS), $(DOMAIN)),,$(error DOMAIN: expected one of qm9 $(DEMOS), got $(DOMAIN)))
ifeq ($(DOMAIN), qm9)
	$(if $(VALUE)$(POLICY),,$(error FAMILY: expected one of $(FAMILIES), got $(FAMILY)))
	$(BIN)/svlearn $(if $(VALUE),train-value,finetune) --config qm9 --config $(VALUE)$(POLICY)
	$(BIN)/svlearn evaluate --config qm9 $(if $(VALUE),\
		--config qm9/demo --values.learned.init_args.name_or_path runs/qm9_value/$(FAMILY)/value.safetensors,\
		--config qm9/evaluate_policy --policies.policy.init_args.path runs/qm9_policy/$(FAMILY)/policy.safetensors)
else
	$(if $(filter file, $(origin FAMILY)),,$(error FAMILY: the demo of $(DOMAIN) has one value alone))
	$(BIN)/svlearn train-value --config $(DOMAIN)
	$(BIN)/svlearn evaluate --config $(DOMAIN) --config $(DOMAIN)/demo
endif

test: $(READY) ## run all tests
	$(TEST)

test-fast: $(READY) ## run all but the slow tests
	$(TEST) -m 'not slow'

test-lowest: $(LOWEST)/.ready ## run all but the slow tests with the oldest versions that svlearn takes
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -n $(WORKERS) --dist loadfile -m 'not slow'

$(LOWEST)/.ready: pyproject.toml constraints-lowest.txt
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet 'setuptools>=77' wheel
	$(LOWEST)/bin/python -m pip install --quiet --constraint constraints-lowest.txt \
		--no-build-isolation --editable '.[molecules,docking,metrics,language,dev]'
	@touch $@

lint: $(READY) ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY) ## run every study of benchmarks/
	@set -e; for study in $(filter-out $(SOAKS), $(STUDIES)); do echo "$$study"; $(BIN)/python -m benchmarks $$study; done

soak: $(READY) ## several processes, and kills, on stores and trainings; MINUTES of mixed random runs, 3 by default
	@set -e; for study in $(SOAKS); do OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks $$study \
		$$(test $$study != soak_mixed || echo --minutes $(MINUTES)); done

tutorials: $(READY) ## run the tutorials, and write into their pages what they print and draw; minutes
	OMP_NUM_THREADS=1 $(BIN)/python scripts/tutorials.py

docs: $(DOCS_READY) ## build the documentation into .cache/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

dist: $(READY) ## build and check the wheel and the source distribution into dist
	$(INSTALL) --no-build-isolation --editable '.[release]'
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist
	$(BIN)/python -m twine check --strict dist/*

clean: ## remove what the tools wrote; keep .venv, data and results
	rm -rf .cache/mypy .cache/pytest .cache/ruff .cache/site .ruff_cache .mypy_cache .pytest_cache build dist *.egg-info
	find svlearn tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
