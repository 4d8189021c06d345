# Everything goes through `.venv`; no target needs anything but make, git and Python >= 3.11.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?=
PORT ?= 8000
# Most of the suite waits for processes: more testers than cores.
TESTERS ?= 5
AGENT ?= genie-analyst
Q ?= Which three franchises sold most in May 2024?
# As a variable of the shell's, so that nothing in a question is taken for a command.
export Q
# Else hundreds of processes compile everything, each for itself.
export PYTHONDONTWRITEBYTECODE :=

BIN := .venv/bin
UV := $(BIN)/uv
RUN_READY := .venv/.run-ready
DEV_READY := .venv/.dev-ready
# uv must not walk up to a project file or read a lock: the requirements files decide.
INSTALL := $(UV) pip install --quiet --no-config --python $(BIN)/python

.PHONY: help setup serve ask chat test test-clients test-servers test-mcp test-deploy fuzz check format lint types imports generated \
        generate requirements bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(RUN_READY) ## prepare .venv with the `retinue` command
	@echo 'Ready. After `. .venv/bin/activate` the shell knows `retinue`.'

serve: $(RUN_READY) ## serve genie-analyst offline (PORT=8000, AGENT=genie-analyst)
	@exec $(BIN)/retinue serve $(AGENT) --offline --port $(PORT)

ask: $(RUN_READY) ## ask one question offline (Q="...", AGENT=genie-analyst)
	@exec $(BIN)/retinue ask $(AGENT) --offline "$$Q"

chat: $(RUN_READY) ## talk with the agent offline
	@exec $(BIN)/retinue chat $(AGENT) --offline

test: $(DEV_READY) ## run the whole suite
	$(BIN)/pytest -n $(TESTERS) --dist loadfile --no-loadscope-reorder

test-long: $(DEV_READY) ## kill servers, stop databases, fill disks, rotate tokens, each for minutes
	$(BIN)/pytest -n 2 -m long

test-clients: $(DEV_READY) ## ask a served agent with real OpenAI clients (CLIENTS="openai-3 litellm")
	$(BIN)/python tests/clients/run.py $(CLIENTS)

test-mcp: $(DEV_READY) ## put every known fault into tool servers, at every point (7 minutes)
	$(BIN)/pytest -n auto -m faults tests/run/test_mcp_faults.py

test-servers: $(DEV_READY) ## use real tool servers from npm and PyPI (SERVERS="everything duckdb")
	$(BIN)/python tests/real_servers/try_all.py $(SERVERS)

fuzz: $(DEV_READY) ## look for inputs that break it, beyond the fixed examples
	HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest -n auto --timeout 1200 -m hypothesis

check: $(DEV_READY) format lint types imports generated test ## everything that CI checks

format: $(DEV_READY)
	$(BIN)/ruff format --check .

lint: $(DEV_READY)
	$(BIN)/ruff check .

types: $(DEV_READY)
	$(BIN)/mypy

imports: $(DEV_READY)
	$(BIN)/lint-imports

generated: $(DEV_READY)
	@set -e; for pair in agent:agent project:retinue; do file=schema/$${pair#*:}.schema.json; \
	  $(BIN)/retinue schema --kind $${pair%:*} | diff -u $$file - \
	  || { echo "$$file is stale: run make generate"; exit 1; }; done
	$(BIN)/python docs/generate.py --check

generate: $(DEV_READY) ## rewrite generated files
	@for pair in agent:agent project:retinue; do \
	  $(BIN)/retinue schema --kind $${pair%:*} > .venv/schema \
	  && mv .venv/schema schema/$${pair#*:}.schema.json || exit 1; done
	$(BIN)/python docs/generate.py

bench: $(DEV_READY) ## measure the compiler's growth, and the server and its models against bare ones
	$(BIN)/python benchmarks/compile.py
	$(BIN)/python benchmarks/serve.py
	$(BIN)/python benchmarks/quotas.py
	$(BIN)/python benchmarks/models.py
	$(BIN)/python benchmarks/instructions.py

test-deploy: $(DEV_READY) ## deploy the agents to a fake workspace, and ask them in a clean environment
	RETINUE_CLEAN_APP=1 $(BIN)/pytest -n 2 tests/bundle/test_deployed.py

requirements: $(UV) ## bring the pinned requirements files up to date with pyproject.toml
	@for set in "uv --group uv" "run --extra files --extra offline --extra postgres --extra redis --group build pyproject.toml" \
	    "dev --extra files --extra offline --extra postgres --extra redis --group dev pyproject.toml"; do \
	  UV_CUSTOM_COMPILE_COMMAND="make requirements" $(UV) pip compile --quiet --no-config --universal \
	    --python-version 3.11 --generate-hashes --no-emit-index-url --exclude-newer "7 days" \
	    $${set#* } -o requirements/$${set%% *}.txt || exit 1; \
	done
	@for pins in tests/clients/requirements/*.in tests/real_servers/requirements/*.in; do \
	  without=$${pins%.in}.without; \
	  UV_CUSTOM_COMPILE_COMMAND="make requirements" $(UV) pip compile --quiet --no-config --universal \
	    --python-version 3.11 --generate-hashes --no-emit-index-url --exclude-newer "7 days" \
	    $$([ ! -f $$without ] || echo --excludes $$without) $$pins -o $${pins%.in}.txt || exit 1; \
	done
	@# What a Databricks App installs: the same versions, for its Python and platform alone.
	@UV_CUSTOM_COMPILE_COMMAND="make requirements" $(UV) pip compile --quiet --no-config --no-annotate \
	  --python-version 3.11 --python-platform x86_64-manylinux_2_31 --generate-hashes \
	  --no-emit-index-url --exclude-newer "7 days" -c requirements/run.txt --extra files --extra postgres --extra redis pyproject.toml \
	  -o runtime/retinue/bundle/requirements.txt

clean: ## remove what make made
	rm -rf .venv .clients .servers .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(RUN_READY): $(UV) requirements/run.txt pyproject.toml
	@echo "Setting up .venv ..."
	@$(INSTALL) --require-hashes --compile-bytecode -r requirements/run.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_READY): $(RUN_READY) requirements/dev.txt
	@echo "Adding what the tests need ..."
	@$(INSTALL) --require-hashes --compile-bytecode -r requirements/dev.txt
	@# A real Redis for its tests, which are skipped where there is none.
	@if ! command -v redis-server >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing redis-server"; apt-get update -qq; \
	  apt-get install -y -qq --no-install-recommends redis-server >/dev/null 2>&1 || true; fi
	@touch $@

# uv goes in first: hash-checked installs take 2 s with it and a minute without.
$(UV): requirements/uv.txt
	@new='import sys; sys.exit(sys.version_info < (3, 11))'; \
	for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11) none; do \
	  "$$python" -c "$$new" 2>/dev/null && break; done; \
	if [ "$$python" = none ]; then \
	  echo "Retinue needs Python 3.11 or later; name one: make PYTHON=/path/to/python3"; exit 1; fi; \
	if ! "$$python" -c 'import ensurepip' 2>/dev/null; then \
	  pkg=$$("$$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing $$pkg"; apt-get update -qq && apt-get install -y -qq $$pkg >/dev/null || exit 1; \
	  else echo "this Python has no venv: run 'sudo apt-get install $$pkg', then again"; exit 1; fi; fi; \
	"$$python" -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@
