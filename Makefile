# Every target does its own set-up in .venv. Outside of this folder only test-cluster, test-chart, test-node and bench keep
# something: programs that are built once, in ~/.cache/license-sidecar (docs/cluster-tests.md).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BROWSER_VENV := .venv-browser
INTERACTIVE ?=
PYTEST_ARGS ?=
SIMULATE_ARGS ?=
BENCH_ARGS ?=
QUICK ?=
ONLY ?=
IMAGE ?= license-sidecar:dev
TARGET ?=
KUBERNETES ?= 1.34
BASE_IMAGE ?=
BUILD_IMAGE ?=
BUILD_NETWORK ?=
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

.DEFAULT_GOAL := help
.PHONY: help demo test test-chart test-cluster test-node test-container test-browser screenshots simulate bench mutations lint format lock docs image compose clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 20

$(STAMP): requirements/dev.txt pyproject.toml
	@echo "setting up $(VENV) with $$($(PYTHON) --version) (about a minute the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --no-deps --editable .
	@touch $@

simulate: $(STAMP) ## storms over fleets of the unchanged agent on virtual time (SIMULATE_ARGS="--seeds 1-50 --pods 100")
	@$(BIN)/python -m tests.simulation $(SIMULATE_ARGS)

docs: $(STAMP) ## write the pages that are made from the code
	@$(BIN)/python docs/make_state_diagram.py
	@$(BIN)/python docs/make_alert_table.py
	@$(BIN)/license-sidecar check-config --docs > docs/settings.md
	@$(BIN)/python docs/make_chart_docs.py

demo: $(STAMP) ## watch a seat being taken, kept, given back, lost and reclaimed (INTERACTIVE=1 leaves it running)
	@$(BIN)/mock-activation demo $(if $(INTERACTIVE),--interactive)

test: $(STAMP) ## everything that needs only Python
	@$(BIN)/python -m pytest $(foreach part,container browser cluster chart node,--ignore=tests/$(part)) $(PYTEST_ARGS)

test-cluster: $(STAMP) ## a real Kubernetes API server, built the first time (KUBERNETES=1.29 chooses another; minutes)
	@$(BIN)/python -m tests.cluster.binaries --version $(KUBERNETES)
	@LICENSE_SIDECAR_TEST_KUBERNETES=$(KUBERNETES) $(BIN)/python -m pytest tests/cluster $(PYTEST_ARGS)

test-chart: $(STAMP) ## the chart with the real Helm 3 and 4, built the first time (minutes); alerts with promtool
	@$(BIN)/python -m tests.chart.helm
	@$(BIN)/python -m tests.cluster.binaries --version $(KUBERNETES)
	@LICENSE_SIDECAR_TEST_KUBERNETES=$(KUBERNETES) $(BIN)/python -m pytest tests/chart $(PYTEST_ARGS)

test-node: $(STAMP) ## a real kubelet with containerd, our image and the chart, in namespaces of their own (root; minutes)
	@$(BIN)/python -m tests.node $(PYTEST_ARGS)

test-container: $(STAMP) ## the image and the Compose file on a real Docker engine
	@$(BIN)/python -m pytest tests/container $(PYTEST_ARGS)

# An environment of its own: selenium brings trio, which httpx would load into the sidecar if it were there.
$(BROWSER_VENV)/.installed: requirements/dev.txt requirements/browser.txt pyproject.toml
	@echo "setting up $(BROWSER_VENV) (about a minute the first time)"
	@$(PYTHON) -m venv $(BROWSER_VENV)
	@$(BROWSER_VENV)/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/dev.txt -r requirements/browser.txt
	@$(BROWSER_VENV)/bin/python -m pip --quiet --disable-pip-version-check install --no-deps --editable .
	@touch $@

test-browser: $(BROWSER_VENV)/.installed ## the mock's console in headless Chromium
	@$(BROWSER_VENV)/bin/python -m pytest tests/browser $(PYTEST_ARGS)

screenshots: $(BROWSER_VENV)/.installed ## take the pictures of the console for the docs again
	@$(BROWSER_VENV)/bin/python -m tests.browser.screenshots docs/images

bench: $(STAMP) ## measure start, stop, memory, load and simulation, against a naive shell sidecar (20 minutes; QUICK=1: two)
	@$(BIN)/python -m tests.bench $(if $(QUICK),--quick) $(BENCH_ARGS)

mutations: $(STAMP) ## take out the code behind each invariant and see a test fail (ONLY=NO_SECRET: those; 10 minutes)
	@$(BIN)/python -m tests.mutations $(ONLY)

image: ## build the container image (IMAGE, TARGET, BASE_IMAGE, BUILD_IMAGE, BUILD_NETWORK choose other ones)
	@docker build --quiet --tag $(IMAGE) $(if $(TARGET),--target $(TARGET)) $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) \
	  $(if $(BUILD_IMAGE),--build-arg BUILD_IMAGE=$(BUILD_IMAGE)) $(if $(BUILD_NETWORK),--network $(BUILD_NETWORK)) \
	  --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) .

compose: image ## two pairs of app and sidecar share two seats, until Ctrl-C; then everything is taken down
	@trap : INT; export LICENSE_SIDECAR_IMAGE=$(IMAGE); $(COMPOSE) up --no-build; $(COMPOSE) down --volumes

lint: $(STAMP) ## style, types, direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP) ## put the code into shape
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

lock: $(STAMP) ## pin every dependency by version and hash, without addresses
	@$(BIN)/python -m pip --quiet install uv
	@$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-strip-extras --no-emit-index-url --no-annotate --no-header pyproject.toml -o requirements/run.txt
	@$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-strip-extras --no-emit-index-url --no-annotate --no-header pyproject.toml --group dev -o requirements/dev.txt
	@$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-strip-extras --no-emit-index-url --no-annotate --no-header --constraint requirements/dev.txt --group browser -o requirements/browser.txt
	@$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-strip-extras --no-emit-index-url --no-annotate --no-header requirements/build.in -o requirements/build.txt

clean: ## remove what was built
	@rm -rf $(VENV) $(BROWSER_VENV) .venv-bench bench-results.json build dist .coverage htmlcov .mypy_cache .ruff_cache .pytest_cache .hypothesis
