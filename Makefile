# Every target sets up what it needs by itself; a second run reinstalls nothing.
# Needs: make, git and Python 3.11 or newer (PYTHON names another one). `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
PYTEST := $(PY) -m pytest
# Suites that need other software say where their time went.
TIMED := $(PYTEST) --durations=25 --durations-min=10
SIDECAR := $(VENV)/sidecar

.DEFAULT_GOAL := help
.PHONY: help demo test test-real soak test-chart test-cluster test-installed test-node check format golden docs bench lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): requirements/dev.lock pyproject.toml
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) || { echo "cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(PY) -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

demo: $(STAMP) ## the main job on embedded stand-ins, as a timeline
	$(PY) -m tests.demo

test: $(STAMP) ## every test that needs no other software
	$(PYTEST)

# A session's peers start within the time of its first test, minutes on a machine with other work. Each part has peers of its
# own, which end with it; three at a time, for each waits as much as it works. One session if ARGS choose.
REAL := $(TIMED) -o timeout=900 -m "(real or kube) and not soak"
REAL_FOLDERS := $(sort $(patsubst tests/real/%/,test-real-%,$(dir $(wildcard tests/real/*/test_*.py))))
# the long ones first, so that none is alone at the end
REAL_LONG := test-real-broker test-real-faults test-real-servers test-real-drain test-real-capabilities
REAL_PARTS := $(REAL_LONG) $(filter-out $(REAL_LONG),$(REAL_FOLDERS))
.PHONY: $(REAL_PARTS)
CAPABILITIES := $(addprefix tests/real/,test_capabilities.py test_source_names.py test_vllm_parser.py)
DRAIN := tests/real/test_drain.py
test-real: $(STAMP) ## against real LiteLLM, model servers and API server (installs them)
	tests/peers/install.sh real
	$(if $(ARGS),$(REAL) tests/real $(ARGS),$(MAKE) --no-print-directory -k -j3 --output-sync=target $(REAL_PARTS))

test-real-capabilities: $(STAMP)
	$(REAL) $(CAPABILITIES)

test-real-drain: $(STAMP)
	$(REAL) $(DRAIN)

test-real-servers: $(STAMP)
	$(REAL) $(filter-out $(CAPABILITIES) $(DRAIN),$(wildcard tests/real/test_*.py))

$(REAL_FOLDERS): test-real-%: $(STAMP)
	$(REAL) tests/real/$*

soak: $(STAMP) ## every fault and every life of the churn, against the same; their figures go to BENCHMARKS.md (an hour)
	tests/peers/install.sh real
	$(PY) -m tests.bench --strict --only fault_matrix
	$(PY) -m tests.bench --strict --only churn

test-chart: $(STAMP) ## the chart as Helm 3 and 4 render it, by a real API server and promtool (installs them)
	tests/peers/install.sh chart
	$(TIMED) -o timeout=300 -m cluster tests/chart $(ARGS)

test-cluster: $(STAMP) ## test-chart, and the chart with our images on a real Kubernetes, with Helm 3 and 4 (installs it; root)
	tests/peers/install.sh cluster
	$(MAKE) --no-print-directory -j2 --output-sync=target test-installed test-chart

# Mostly waits for its node, and leaves the processor to test-chart.
test-installed: $(STAMP)
	$(TIMED) -o timeout=300 -m cluster tests/cluster $(ARGS)

test-node: $(STAMP) ## one pod's life on a real Kubernetes node (installs it; root)
	tests/peers/install.sh node
	$(TIMED) -m node tests/node $(ARGS)

check: $(STAMP) ## format, lint, types, directions of import
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PY) -m tests.docs --check

format: $(STAMP) ## rewrite the code in the house format
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

golden: $(STAMP) ## rewrite the golden files
	UPDATE_GOLDEN=1 $(PYTEST) -q tests/golden tests/listing tests/metrics/test_names.py tests/policy/test_evasions.py

docs: $(STAMP) ## rewrite what both READMEs take from the code and from values.yaml
	$(PY) -m tests.docs

# What the registrar's image holds and nothing else: httpx loads click and rich where it finds them.
$(SIDECAR)/.installed: requirements/sidecar.lock
	@test -x $(SIDECAR)/bin/python || $(PYTHON) -m venv $(SIDECAR)
	@$(SIDECAR)/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/sidecar.lock
	@touch $@

bench: $(STAMP) $(SIDECAR)/.installed ## measure; rewrites BENCHMARKS.md (ONLY=name: one figure)
	@tests/peers/install.sh all >&2
	@$(PY) -m tests.bench $(if $(ONLY),--only $(ONLY))

lock: ## resolve the lock files anew
	requirements/lock.sh --upgrade

clean: ## remove what make made here (the peers' cache stays)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
