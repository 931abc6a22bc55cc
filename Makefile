# `make` alone lists what can be made. ARGS go to what is run: make test ARGS='-k ranges', make demo ARGS='--size 256MiB'.
# ONLY names parts of the bench: make bench ONLY=P1,P7.

.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help run demo soak bench test fuzz check format slow contract screenshots faults mutants crash lock clean environment programs tests static
ARGS ?=
JOBS ?= 2
ONLY ?=
BIN := .venv/bin

help:  ## list these targets
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/make \1|\2/p' Makefile | while IFS='|' read -r target what; do \
		printf '%-12s %s\n' "$$target" "$$what"; done

run:  ## start the box from this checkout
	@scripts/bootstrap
	@exec $(BIN)/ollama-appliance run $(ARGS)

demo:  ## pull a model through the box from a scripted origin, measured: cold by two clients, then warm
	@scripts/bootstrap
	@exec $(BIN)/ollama-appliance demo $(ARGS)

soak:  ## ten minutes of sixty clients, a failing origin, kills and evictions; ARGS="--minutes 2 --seed 7 --json"
	@scripts/bootstrap
	@exec $(BIN)/python -m tests.soak $(ARGS)

bench: environment  ## measure the box beside nginx, dnsmasq and curl; docs/PERFORMANCE.md has what it found
	@scripts/debian-programs --bench
	@$(BIN)/python -m bench $(if $(ONLY),--only $(ONLY)) $(ARGS)

test: environment programs tests  ## run the tests, JOBS (2) at a time

fuzz: environment  ## fuzz what parses bytes from outside: by hypothesis, then by atheris where that is installed
	HYPOTHESIS_PROFILE=deep $(BIN)/python -m pytest --timeout 0 tests/fuzz
	$(BIN)/python -m tests.fuzz $(ARGS)

check: environment static programs tests  ## all that CI checks: format, lint, types, import rules, then the tests

format: environment  ## format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

slow: environment programs  ## the tests that every run leaves out: whole networks, a storm, life after life
	$(BIN)/python -m pytest -m slow $(ARGS)

contract: environment  ## ask a real box's API for all that its description allows, at length; ARGS='-n 500'
	$(BIN)/python -m tests.journeys.contract $(ARGS)

screenshots: environment programs  ## look at the page of a box that works, and keep what docs/ shows of it
	$(BIN)/python -m tests.screenshots $(ARGS)

faults: environment programs  ## make each of twelve faults on a real box, and hold docs/OPERATING.md to what comes of it
	EVERY_FAULT=1 $(BIN)/python -m pytest tests/faults/test_fail_open.py $(ARGS)

mutants: environment programs  ## break each promise in one line, in a copy, and see a test notice; ARGS='S2 A1'
	$(BIN)/python -m tests.mutants $(ARGS)

crash: environment  ## kill the real box at random steps and moments, hundreds of times; ARGS='--lives 50 --seed 7'
	$(BIN)/python -m tests.faults.crash $(ARGS)

lock: environment  ## compile the requirements locks from pyproject.toml; ARGS=--upgrade for newer versions
	scripts/lock $(ARGS)

clean:  ## remove the environment, fetched programs and all caches; never ./state
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

environment:
	@scripts/bootstrap --dev

programs:
	@scripts/debian-programs
	@scripts/axe-core

static:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

tests:
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)
