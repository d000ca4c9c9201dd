# The two commands that matter: `make demo` and `make test`. Both make the virtual environment themselves.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# A build of torch for machines without a GPU is much smaller: name its index by PIP_EXTRA_INDEX_URL.
TORCH ?= torch==2.13.0
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test check check-install generate format clean

help: ## Show this help
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.done ## Run the whole recipe on the embedded cluster, in minutes
	$(BIN)/reasoner demo

test: $(VENV)/.done ## Run all tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.done ## Lint, types, import contracts, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m reasoner_api.generate --check

check-install: $(VENV)/.done ## Prove that a laptop installs the embedded cluster from wheels alone: no compiler needed
	$(BIN)/pip install --quiet --disable-pip-version-check --dry-run --ignore-installed --only-binary :all: \
		-c constraints.txt '.[local]'

generate: $(VENV)/.done ## Write CRDs, the chart's copy and the API reference from the models
	$(BIN)/python -m reasoner_api.generate

format: $(VENV)/.done ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the virtual environment and the embedded cluster's state
	rm -rf $(VENV) .reasoner

# torch first: what depends on it would otherwise bring a build of its own choice.
$(VENV)/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile $(TORCH)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	touch $@
