# Every target does its own set-up on a fresh Debian or Ubuntu machine: see scripts/setup.
SHELL := /bin/sh
BIN := .venv/bin
# What `make serve` passes to `hsmkms dev`, for example: make serve ARGS="--region eu-west-1 --workers 2"
ARGS ?=
PYTEST_ARGS ?=

.PHONY: help serve test check fmt bench coverage

help:
	@echo "make serve   set up, and run a complete KMS on SoftHSM2 in ./dev-data (ARGS=... goes to hsmkms dev)"
	@echo "make test    set up, and run every test"
	@echo "make check   the whole gate: format, lint, types, import contracts, tests, coverage"
	@echo "make bench   measure, interleaved, on this machine"
	@echo "make fmt     format the code"

serve:
	@scripts/setup run
	@exec $(BIN)/hsmkms dev --data dev-data $(ARGS)

test:
	@scripts/setup test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check:
	@scripts/setup test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) coverage

coverage:
	rm -f .coverage .coverage.*
	$(BIN)/python -m pytest --cov --cov-report= $(PYTEST_ARGS)
	$(BIN)/python scripts/coverage_floors.py

fmt:
	@scripts/setup test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench:
	@scripts/setup test
	$(BIN)/python -m bench $(ARGS)
