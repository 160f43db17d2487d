# Everything runs in a virtual environment of its own; `make VENV=…` puts it elsewhere.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := $(shell find rust -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock pyproject.toml

# The kernels against their oracles once more, for items, without vector instructions.
PORTABLE := 'equals_the_definition and not many_columns and not users'

# Processes that run the tests; the kernels in them use two threads or more.
WORKERS ?= 2

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# An extra is installed when the sources that it was built from are newer.
$(VENV)/.installed-%: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@

.PHONY: setup
setup: $(VENV)/.installed-dev ## Build ferrec into .venv with everything for development

.PHONY: demo
demo: $(VENV)/.installed-demo ## Install and run the main job on a year of grocery purchases (no server, under a minute)
	$(BIN)/ferrec demo

.PHONY: test
test: setup test-rust test-python ## Install and run every test but those of time and of clusters

.PHONY: test-rust
test-rust: ## Tests of the Rust core
	cargo test --quiet --package ferrec-core

.PHONY: test-python
test-python: setup ## Tests of the Python package, its docstrings, and the README
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal --doctest-modules python/ferrec tests
	FERREC_SIMD=portable $(BIN)/python -m pytest -q -n $(WORKERS) tests/test_kernels.py -k $(PORTABLE)

.PHONY: test-timing
test-timing: setup ## Tests that measure time, one after the other, on a quiet machine
	$(BIN)/python -m pytest -q -m timing tests

.PHONY: test-cluster
test-cluster: setup ## Tests that start Ray and Spark on this machine
	$(BIN)/python -m pytest -q -m cluster tests

.PHONY: lint
lint: setup ## Formatting, types, stubs, clippy; warnings are errors
	cargo fmt --all --check
	cargo clippy --quiet --all-targets -- --deny warnings
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	MYPYPATH=python $(BIN)/python -m mypy.stubtest ferrec._rust --mypy-config-file pyproject.toml
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tests/house_rules.py

.PHONY: format
format: setup ## Format everything
	cargo fmt --all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: package
package: setup ## Build sdist and wheel; install the wheel into an empty environment and use it there
	rm -rf dist
	$(BIN)/python -m pip install --quiet build
	CARGO_TARGET_DIR=$(CURDIR)/target $(BIN)/python -m build --outdir dist .
	rm -rf target/empty && $(PYTHON) -m venv target/empty
	target/empty/bin/python -m pip install --quiet dist/*.whl
	cd target && empty/bin/python ../tests/smoke.py

.PHONY: bench
bench: $(VENV)/.installed-bench ## Compare with the peers at the 1m shape; ratios beside their targets
	$(BIN)/python benches/python/compare.py --budget 3

.PHONY: bench-record
bench-record: $(VENV)/.installed-bench-all ## All shapes and peers (brings PyTorch), recorded in benches/record
	$(BIN)/python benches/python/compare.py --shapes all --record

.PHONY: bench-report
bench-report: $(VENV)/.installed-bench ## Draw the newest record into docs/img
	$(BIN)/python benches/python/report.py

.PHONY: bench-prepare
bench-prepare: setup ## Prepare 10 M rows beside pandas and polars; the results are compared
	$(BIN)/python benches/python/prepare.py

.PHONY: bench-batch
bench-batch: $(VENV)/.installed-bench $(VENV)/.installed-dev ## Batch scoring at full size (minutes): speed beside the kernel and implicit, memory, workers
	$(BIN)/python benches/python/batch.py throughput nightly histories workers --record

.PHONY: soak
soak: $(VENV)/.installed-bench $(VENV)/.installed-dev ## Score for 15 minutes under a memory limit; draws docs/img/soak.svg
	$(BIN)/python benches/python/batch.py soak --record --picture docs/img/soak.svg

.PHONY: pictures
pictures: setup ## Draw the pictures of docs/preparation.md
	$(BIN)/python docs/pictures.py

.PHONY: accuracy
accuracy: $(VENV)/.installed-bench ## Tune and compare the models on real data; writes docs/accuracy.md (hours; goes on where it stopped)
	$(BIN)/python benches/python/accuracy.py

.PHONY: bench-test
bench-test: $(VENV)/.installed-bench $(VENV)/.installed-dev ## Every benchmark once, as a test: the answers are compared
	$(BIN)/python -m pytest -q benches/python --benchmark-disable

.PHONY: bench-rust
bench-rust: ## Criterion benchmarks of the core
	cargo bench --package ferrec-core --bench kernels

.PHONY: bench-peak
bench-peak: ## How much of the machine's peak the scoring of vectors reaches
	cargo bench --quiet --package ferrec-core --bench peak

.PHONY: bench-steps
bench-steps: ## What each step of the similarity kernel gains
	cargo bench --quiet --package ferrec-core --bench steps
	cargo bench --quiet --package ferrec-core --bench steps -- 138493 26744 144

.PHONY: clean
clean: ## Remove what was built
	rm -rf target dist $(VENV)
