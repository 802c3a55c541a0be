# Two commands on a fresh machine: `make reproduce` and `make test`. Each sets up what it needs, and needs only make and Python 3.11
# or newer. `make help` lists the rest.
PYTHON ?= python3
PROFILE ?= smoke
OLD ?= keras-2.15
BIN := .venv/bin
PYTEST = $(BIN)/python -m pytest -n auto --dist loadfile --max-worker-restart=0
SYNC = UV_COMPILE_BYTECODE=1 $(UV) sync --locked --python $(PYTHON)
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)

.DEFAULT_GOAL := help
.PHONY: help setup reproduce test tests check check-full environments lint types format bench mutants zoo peers wild wild-lock versions env-smoke env-locks reference dist lab clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.complete ## install what uv.lock names into .venv

reproduce: setup ## run the suite: verdicts, tables, figures and a site (PROFILE=full measures more)
	$(BIN)/masklib reproduce --profile $(PROFILE)

test: setup ## run the quick tests; make check also runs the slow ones
	$(PYTEST)

tests: setup ## run all tests except those that take minutes each
	$(PYTEST) -m "not full" --durations 30

check: lint types dist environments reproduce tests ## what CI runs: lint, types, sdist and wheel, the suite in smoke, then all tests, which read its runs

check-full: check env-smoke ## check, then an old environment, the tests that take minutes and the suite in its full profile
	$(PYTEST) -m full
	$(BIN)/masklib reproduce --profile full

environments: setup ## create those of the tests on PyTorch and on older versions of Keras; tests whose environment is missing are skipped
	$(BIN)/masklib env create keras-3.15-torch keras@3.9.2 keras-2.15 || echo "Tests in environments that are not there are skipped."

lint: setup ## ruff: lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy, strict
	$(BIN)/mypy

format: setup ## let ruff format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

zoo: setup ## audit every model of the zoo: found, missed, false alarms, beside Keras's own warning (SEEDS=15 repeats models without a leak)
	$(BIN)/python -W ignore -m tests.zoo $(if $(SEEDS),--seeds $(SEEDS))

mutants: setup ## put faults into a copy of masklib, one after another: each must be noticed by a test (WORDS="..." chooses some)
	$(BIN)/python -W ignore -m tests.mutants $(if $(WORDS),"$(WORDS)")

peers: setup ## run papermill's tests with our engine and nbclient's with our warm kernels; failures are listed with the reason
	$(UV) run --locked --with "nbclient[test]==$$($(BIN)/python -c 'import nbclient; print(nbclient.__version__)')" python -m tests.peers

wild: .wild/.complete ## audit models of other packages and of public examples: found, missed, accused, not tested and why
	.wild/bin/python -W ignore -m tests.wild

wild-lock: setup ## pin the packages in tests/wild/requirements.in again, together with what uv.lock names
	$(UV) export --locked --no-hashes --no-emit-project --all-groups --quiet --output-file $@.txt
	$(UV) pip compile --quiet --python-version 3.11 --no-annotate --no-header --no-emit-index-url --constraints $@.txt \
	  tests/wild/requirements.in --output-file tests/wild/requirements.txt
	rm $@.txt

bench: setup ## measure speed, compared with what a user would choose instead
	$(BIN)/python bench/losses.py
	$(BIN)/python bench/runs.py
	$(BIN)/python bench/site.py
	$(BIN)/python -W ignore bench/audit.py
	$(BIN)/python bench/install.py

reference: setup ## measure verdicts, answers and the README's figure again, and write README and runs/reference
	$(BIN)/masklib reproduce --update-reference
	$(BIN)/masklib figures across_versions --theme light,dark --out runs/reference
	$(BIN)/python -m masklib.site.readme

versions: setup ## measure every release of Keras 3, and each environment that was made; write what changed (an hour)
	$(BIN)/masklib env create $$($(BIN)/python -c "from masklib.engine.releases import releases; print(*(f'keras@{v}' for v in releases() if v >= '3'))")
	-$(BIN)/masklib sweep versions --runs runs/versions
	$(BIN)/masklib versions --update-reference --runs runs/versions
	$(BIN)/python -m masklib.site.readme

env-smoke: setup ## build an old environment from nothing in a temporary folder, check it, and run a notebook in it
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && export MASKLIB_ENVIRONMENTS="$$folder" && \
	  $(BIN)/masklib env create $(OLD) && $(BIN)/masklib env check $(OLD) && \
	  $(BIN)/masklib run 02_rnn_carry_over -p environment $(OLD) --runs "$$folder/runs"

env-locks: setup ## resolve the requirements in masklib/engine/environments.toml again
	$(BIN)/python -c "from masklib.engine import environments; environments.write_locks()"

dist: setup ## build sdist and wheel into dist/, and let twine check them
	rm -rf dist
	$(UV) build --quiet --out-dir dist
	$(UV) tool run --quiet twine check --strict dist/*

lab: setup ## open the notebooks in JupyterLab, with warm kernels
	$(BIN)/python -m masklib.engine.kernels.lab notebooks

clean: ## remove the environment and the caches; runs stay
	rm -rf .venv .wild .uv .mypy_cache .pytest_cache .ruff_cache

.venv/.complete: pyproject.toml uv.lock | $(UV)
	@echo "Installing what uv.lock names, then compiling it to bytecode: some minutes, in which uv may print nothing."
	$(SYNC) || { echo "Once more, trusting the certificates of this system."; UV_SYSTEM_CERTS=1 $(SYNC); }
	@touch $@

.wild/.complete: pyproject.toml uv.lock tests/wild/requirements.txt | $(UV)
	UV_PROJECT_ENVIRONMENT=.wild $(SYNC)
	$(UV) pip install --quiet --python .wild/bin/python -r tests/wild/requirements.txt
	@touch $@

.uv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, $(PYTHON) is older. Set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --disable-pip-version-check --quiet "uv>=0.9"
