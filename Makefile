# Two commands are all: `make up` runs the portal, `make test` tests it.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python
PORT ?= 8000
GATEWAY_PORT ?= 8080
EXAMPLE ?= 1
export UV_COMPILE_BYTECODE := 1
# Tests that drive whole nodes and portals want the machine for themselves; the others share it.
WHOLE := tests/conformance/test_backends_local.py tests/integration/dataplane tests/e2e
PYTEST := $(BIN)/python -m pytest

.PHONY: up link test test-all check lint format types migrate schema docs frontend requirements bench clean

up: $(VENV)/.base frontend/dist/index.html
	@PORTAL_PORT=$(PORT) PORTAL_GATEWAY_PORT=$(GATEWAY_PORT) $(BIN)/python -m portal.up $(if $(filter 0,$(EXAMPLE)),--no-example)

link: $(VENV)/.base
	@$(BIN)/python manage.py sign_in_link

test: $(VENV)/.test frontend/dist/index.html
	@sh deploy/ci/install-test-packages.sh
	$(PYTEST) -n 2 --dist loadfile -m "not slow" $(WHOLE:%=--ignore=%) $(ARGS)
	$(PYTEST) -m "not slow" $(WHOLE) $(ARGS)
	@sh deploy/ci/frontend.sh test

test-all: $(VENV)/.test frontend/dist/index.html
	@sh deploy/ci/install-test-packages.sh
	$(PYTEST) $(ARGS)
	@sh deploy/ci/frontend.sh test
	HK_TEST_DATABASE=mariadb $(PYTEST) tests/unit tests/integration $(ARGS)

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy contract node portal pipelines serving
	DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python -m tests.architecture.schema_drift

lint: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

format: lint

types: $(VENV)/.test
	$(BIN)/mypy contract node portal pipelines serving

migrate: $(VENV)/.base
	$(BIN)/python manage.py migrate

schema: $(VENV)/.test
	DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python manage.py spectacular --format openapi-json --file docs/openapi.json

docs: $(VENV)/.test schema
	$(BIN)/python -m hekaton_cli.reference docs

frontend: $(VENV)/.base
	@sh deploy/ci/frontend.sh build

frontend/dist/index.html: $(VENV)/.base
	@sh deploy/ci/frontend.sh build

bench: $(VENV)/.test
	$(BIN)/python bench/pipeline.py
	$(BIN)/python bench/serving.py

# The environment ---------------------------------------------------------------------------

$(VENV)/bin/uv:
	@sh deploy/ci/make-venv.sh "$(PYTHON)" "$(VENV)"

$(VENV)/.base: $(VENV)/bin/uv requirements.txt cli/pyproject.toml
	@echo "Installing packages ..."
	@sh deploy/ci/install-packages.sh "$(VENV)" requirements.txt
	@touch $@

$(VENV)/.test: $(VENV)/.base requirements-test.txt
	@echo "Installing packages for the tests ..."
	@sh deploy/ci/install-packages.sh "$(VENV)" requirements-test.txt
	@touch $@

requirements: $(VENV)/bin/uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes pyproject.toml --extra test --extra test-cloud --extra mysql-pure --extra k8s --extra gcp --extra s3 -c requirements.txt -o requirements-test.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes pyproject.toml --extra mysql-pure --extra k8s --extra gcp --extra s3 -c requirements.txt -o deploy/docker/requirements.txt

clean:
	rm -rf $(VENV) frontend/node_modules frontend/dist .mypy_cache .ruff_cache .pytest_cache
