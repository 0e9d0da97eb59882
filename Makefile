# Everything sets itself up: only Python 3.11 to 3.13 and make are needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export PYTHONUTF8 = 1

.DEFAULT_GOAL := help
.PHONY: help run demo test test-fast lint bench soak mutate screenshots fuzz requirements clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

WRONG_PYTHON = "$(PYTHON) is not Python 3.11 to 3.13; name one that is: make $(MAKECMDGOALS) PYTHON=python3.12"

# One environment a requirements file; a changed file installs again. `.pyc` files are written at once, since a first
# start without them takes four times as long.
define install
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit($(WRONG_PYTHON))'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/bootstrap.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode -r $(1)
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
endef

$(VENV)/.run: pyproject.toml requirements/run.txt requirements/bootstrap.txt
	@echo "Setting up $(VENV) (about a minute, once)"
	$(call install,requirements/run.txt)
	@touch $@

$(VENV)/.dev: pyproject.toml requirements/dev.txt requirements/bootstrap.txt
	@echo "Setting up $(VENV) with the development tools (about two minutes, once)"
	$(call install,requirements/dev.txt)
	@touch $@ $(VENV)/.run

run: $(VENV)/.run ## start the platform on this machine, load examples/, stay until Ctrl-C
	@$(BIN)/pipeline local run

demo: $(VENV)/.run ## the same without staying: exit 0 only if every step is verified
	@$(BIN)/pipeline local demo

test: $(VENV)/.dev lint ## every check and every test
	@$(BIN)/pytest -n 2 --dist loadgroup

test-fast: $(VENV)/.dev ## the tests without the slow ones
	@$(BIN)/pytest -n 2 --dist loadgroup -m "not slow"

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PYRIGHT_PYTHON_GLOBAL_NODE=off $(BIN)/pyright

bench: $(VENV)/.dev ## measure, as ratios: all suites, or ONLY="ingest analytics api latency"; SCALE=0.01 for a quick try
	@$(BIN)/python -m pipeline_project_tests.bench $(ONLY) --scale $(or $(SCALE),1)

soak: $(VENV)/.dev ## files at a steady rate while processes are killed at random: make soak MINUTES=30
	@$(BIN)/python -m pipeline_project_tests.soak --minutes $(or $(MINUTES),30)

mutate: $(VENV)/.dev ## change the code in small ways and see which changes no test notices: make mutate AREA=jobs SAMPLE=40 SEED=1 MINUTES=60
	@$(BIN)/python -m pipeline_project_tests.mutate $(AREA) --sample $(or $(SAMPLE),40) --seed $(or $(SEED),1) --minutes $(or $(MINUTES),60)

screenshots: $(VENV)/.dev ## take the pictures in docs/images/ anew, of a platform with examples/ loaded; needs Chromium
	@$(BIN)/python -m pipeline_project_tests.screenshots

fuzz: $(VENV)/.dev ## try the REST facade of a running platform with schemathesis, at length: make fuzz API=<REST address>
	@$(BIN)/schemathesis --config-file pipeline_project_tests/fuzz/schemathesis.toml run $(API)/openapi.json --checks all

requirements: $(VENV)/.dev ## pin the newest versions that pyproject.toml admits
	@for set in run dev; do \
	  extras=$$([ $$set = run ] && echo "--extra local" || echo "--extra local --extra deploy --extra dev"); \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --upgrade \
	    $$extras pyproject.toml -o requirements/$$set.txt; done
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
	  -c requirements/run.txt pyproject.toml -o requirements/image.txt

clean: ## remove the environment and the local platform's state
	rm -rf $(VENV) .pipeline build
