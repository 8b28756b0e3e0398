# `make test`, `make demo` and `make ui` each do all set-up themselves; nothing outside this folder is touched.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Empty means "write .pyc files": without them every start of Python costs seconds more.
export PYTHONDONTWRITEBYTECODE :=
export MLOPS_HOME ?= $(CURDIR)/var
ifneq ($(words $(CURDIR) $(MLOPS_HOME)),2)
$(error make cannot handle a space in a path: move this folder, or set MLOPS_HOME to one without)
endif
override MLOPS_HOME := $(abspath $(MLOPS_HOME))
export DAGSTER_HOME := $(MLOPS_HOME)/dagster
# DVC's default remote: what a run keeps, `dvc pull` finds. With MLOPS_S3 (s3://bucket/prefix) it lies there too.
STORE := $(if $(MLOPS_S3),$(MLOPS_S3:/=),$(MLOPS_HOME))/store
ENDPOINT := $(AWS_ENDPOINT_URL)
# Nothing here calls home.
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
# One BLAS thread: the sums, and so the models, are the same on every machine, and two cores are not fought over.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1

UV_VERSION := 0.13.8
UV_FOUND := $(shell command -v uv 2>/dev/null)
UV := $(if $(and $(UV_FOUND),$(shell uv --version 2>/dev/null)),uv,.tools/uv/bin/uv)
READY := .venv/.ready
BIN := .venv/bin

.PHONY: help setup demo test drills repro ui mlflow lock lock-check clean
help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

# The venv is private, so a Python that is "externally managed" (PEP 668) stays as it is.
.tools/uv/bin/uv:
	python3 -m venv .tools/uv || { echo "python3 cannot make a venv: apt-get install python3-venv" >&2; exit 1; }
	.tools/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(READY): pyproject.toml requirements.lock | $(filter-out uv,$(UV))
	$(UV) venv --quiet --allow-existing .venv
	$(UV) pip sync --quiet --python .venv --require-hashes requirements.lock
	$(UV) pip install --quiet --python .venv --no-deps --editable .
	touch $@

# Made once and then left alone: a home keeps the settings it was made with, or those that a person wrote.
SETTINGS := deploy/dagster$(if $(filter production,$(MLOPS_ENVIRONMENT)),.production).yaml
$(DAGSTER_HOME)/dagster.yaml:
	mkdir -p $(@D)
	ln -sfn $(CURDIR)/$(SETTINGS) $@

# `dagster dev` without make reads .env; a variable that is already set wins over it.
.env: Makefile
	printf '%s\n' > $@ 'MLOPS_HOME=$${MLOPS_HOME:-$(CURDIR)/var}' 'DAGSTER_HOME=$${MLOPS_HOME}/dagster' \
	  OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 DVC_NO_ANALYTICS=1 \
	  MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true

.PHONY: remote
remote:
	@printf '[core]\n    remote = store\n[%sremote "store"%s]\n    url = %s\n' "'" "'" $(STORE) > .dvc/config.made
	@if [[ -n "$(ENDPOINT)" ]]; then printf '    endpointurl = %s\n' $(ENDPOINT) >> .dvc/config.made; fi
	@if cmp -s .dvc/config.made .dvc/config.local; then rm .dvc/config.made; else mv .dvc/config.made .dvc/config.local; fi

setup: $(READY) $(DAGSTER_HOME)/dagster.yaml .env remote ## everything the other targets need

demo: setup ## play twelve months through the sensors: a rival comes, and a better model takes over
	$(BIN)/mlops demo

# No check may lean on the running system, hence a home of its own.
test: export MLOPS_HOME := $(CURDIR)/.venv/test-home
test: export DAGSTER_HOME := $(CURDIR)/.venv/test-home/dagster
test: export MLOPS_ENVIRONMENT := local
test: setup ## lint, types, import rules, the code location, tests but for the long drills
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	mkdir -p $$DAGSTER_HOME
	$(BIN)/dagster definitions validate -w workspace.yaml
	env -u DAGSTER_HOME -u MLOPS_HOME $(BIN)/pytest -m "not slow"

drills: setup ## the long drills: years that are killed, the real daemon, every scenario; ten minutes
	env -u DAGSTER_HOME -u MLOPS_HOME $(BIN)/pytest -m slow

.PHONY: mutants
mutants: setup ## errors made in the gates one by one: which does no test notice? hours, or ONLY="floors news"
	$(BIN)/python -m benchmarks.mutants $(ONLY)

repro: setup ## the six layers from data/landing, by DVC: what dvc.lock promises
	$(BIN)/dvc repro

ui: export PYTHONWARNINGS := ignore:Function `dev_command`
ui: setup ## Dagster, its daemon and the loop, at http://127.0.0.1:3000
	exec $(BIN)/mlops up --port $(or $(PORT),3000)

mlflow: setup ## MLflow at http://127.0.0.1:5000
	mkdir -p $(MLOPS_HOME)/mlflow
	exec $(BIN)/mlflow ui --backend-store-uri sqlite:///$(MLOPS_HOME)/mlflow/mlflow.db -h 127.0.0.1 -p $(or $(PORT),5000)

COMPILE := pip compile pyproject.toml --group dev --all-extras --universal --generate-hashes --no-emit-index-url --no-header --quiet
lock: | $(filter-out uv,$(UV)) ## resolve anew, newest versions
	$(UV) $(COMPILE) --upgrade --output-file requirements.lock

lock-check: | $(filter-out uv,$(UV)) # the lock still fits pyproject.toml
	cp requirements.lock $(READY).lock && $(UV) $(COMPILE) --output-file $(READY).lock && cmp requirements.lock $(READY).lock

clean:
	rm -rf .venv .tools .env
