# Two commands do it all on a machine with Python 3.10-3.12 and make: `make run`, `make test`.
# The tests also need a Kafka broker: Java 17 and Maven, or Docker (`make kafka` shows which).

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
PYTHON := $(BIN)/python
STAMP := .venv/.installed
PEERS := .cache/peers

# The first of these that Bytewax has wheels for; `make venv PYTHON3=...` names another.
IN_RANGE := import sys; (3, 10) <= sys.version_info[:2] <= (3, 12) or sys.exit(1)
PYTHON3 = $(shell for python in python3.12 python3.11 python3.10 python3 python; do \
	$$python -c '$(IN_RANGE)' 2>/dev/null && echo $$python && break; done)
PIP = $(PYTHON) -m pip --quiet --disable-pip-version-check

.PHONY: help venv run test test-cluster lint format kafka bench bench-choices bench-growth bench-similar bench-state drill drill-varied drill-cluster images lock pictures clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(STAMP) ## make .venv from requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@python="$(PYTHON3)"; "$${python:-false}" -c '$(IN_RANGE)' 2>/dev/null || { \
		echo "Install Python 3.10, 3.11 or 3.12 (Bytewax has wheels for no other), or name" \
			"one: make venv PYTHON3=/path/to/python." >&2; exit 1; }
	@$(PYTHON) -c '$(IN_RANGE); import pip' 2>/dev/null || { rm -rf .venv; \
		"$(PYTHON3)" -m venv .venv >/dev/null; } || { rm -rf .venv; \
		echo "$(PYTHON3) cannot make a virtual environment: install its venv module" \
			"(Debian: python3-venv)." >&2; exit 1; }
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

run: $(STAMP) ## deduplicate a small sample and show what came out
	$(PYTHON) -m flows.sample

# Two at a time, each with a broker of its own: half of the time is waiting for one.
test: lint ## lint, types, and every test, on a real broker
	$(PYTHON) -m pytest --numprocesses 2 --dist worksteal

test-cluster: $(STAMP) ## the job on three brokers that are killed, stopped and cut off
	$(PYTHON) -m pytest -m cluster tests/cluster tests/regression

lint: $(STAMP) ## rules and format, layers, plain English, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell -D - -D docs/development/plain-english.txt
	$(BIN)/mypy

format: $(STAMP) ## let ruff put things right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

kafka: $(STAMP) ## run a local broker on port 9092 until Ctrl-C
	@$(PYTHON) -m deploy.kafka

bench: $(STAMP) ## measure this flow beside a bare loop and a plain flow
	$(PYTHON) -m bench

bench-similar: $(PEERS) ## measure near duplicates beside all pairs and MinHash LSH
	PYTHONPATH=$(PEERS) $(PYTHON) -m bench.similar

$(PEERS): bench/peers/requirements.lock $(STAMP)
	@rm -rf $@
	$(PIP) install --no-deps --require-hashes --target $@ -r $<
	@touch $@

bench-state: $(STAMP) ## measure what a key costs in each store, and soak bounded ones
	$(PYTHON) -m bench.state

bench-choices: $(STAMP) ## measure what keys, windows and states of your choice cost
	$(PYTHON) -m bench.choices

bench-growth: $(STAMP) ## measure how cost grows with record size, lanes, keys and so on
	$(PYTHON) -m bench.growth

pictures: $(STAMP) ## draw what the benches wrote to bench/results
	$(PYTHON) -m bench.pictures

drill: $(STAMP) ## kill things at random and count what came out
	$(PYTHON) -m tests.drills

# SEEDS=50 SEED=100 make drill-varied plays seeds 100 to 149.
drill-varied: $(STAMP) ## the same with settings, records and faults drawn by seed
	$(PYTHON) -m tests.drills --varied --seeds $(or $(SEEDS),10) $(if $(SEED),--seed $(SEED))

# SEEDS=5 SEED=100 make drill-cluster plays seeds 100 to 104.
drill-cluster: $(STAMP) ## faults of a cluster of three brokers, drawn by seed
	$(PYTHON) -m tests.drills --cluster --seeds $(or $(SEEDS),3) $(if $(SEED),--seed $(SEED))

images: $(STAMP) ## build the image and run the compose file, where Docker is
	DEDUP_TEST_IMAGES=1 $(PYTHON) -m pytest tests/deploy/test_images.py

lock: $(STAMP) ## write the three requirements.lock again from pyproject.toml
	$(BIN)/uv pip compile --quiet --no-python-downloads --universal \
		--python-version 3.10 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --all-extras --group dev \
		--upgrade --output-file requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --no-python-downloads --universal \
		--python-version 3.10 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --group peers --no-emit-package numpy \
		--constraint requirements.lock --output-file bench/peers/requirements.lock
	$(BIN)/uv pip compile --quiet --no-python-downloads --universal \
		--python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --all-extras \
		--constraint requirements.lock --output-file deploy/image/requirements.lock \
		pyproject.toml

clean: ## remove what the other targets made, .venv and the broker's jars too
	rm -rf .venv .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache out state sample
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
