# make serve   sets up .venv, installs the service in it, and starts it: PORT=9000, HOST=0.0.0.0, MODELS=bpclip, ...
#              With SLIM=1 in .venv-slim and without PyTorch: for CPUs, with the bundled weights.
# make test    the same with what the tests need, and runs them, several files at a time: ARGS="-k weights"
# make test-fast  only the tests that start no process and are not slow: ARGS="tests/app"
# make client  builds the Python client as a wheel of its own, dist/iqa_client-*.whl
# make format  sorts imports, fixes what ruff can fix, and formats
# make lint    ruff and mypy, and for the page eslint and tsc, which need Node.js 18.18 or newer and npm
# make train-bundled DATA=folder   trains the bundled weights again, from DATA/pristine and DATA/biq2021 (with
#              scores.csv); interrupted, the same command goes on. WORKERS=8 encodes by so many processes.
# make graphs  makes the graphs of the bundled weights again, which run without PyTorch; after new weights
#
# PYTHON=python3.12 chooses the interpreter that .venv is made with. CONSTRAINTS=/dev/null installs the newest
# libraries in place of those that are tested.

PYTHON ?= python3
CONSTRAINTS ?= docker/constraints.txt
SLIM ?=
VENV := .venv$(if $(SLIM),-slim)
ARGS ?=
DATA ?=
WORKERS ?= 2

pip = if $(VENV)/bin/python -m pip --version >/dev/null 2>&1; then set -- $(VENV)/bin/python -m pip; \
	else set -- $(PYTHON) -m pip --python $(VENV)/bin/python; fi; \
	"$$@" --disable-pip-version-check --no-input
install = $(pip) install --constraint $(CONSTRAINTS)

# Whatever is set on make's command line is a setting of the service: PORT=9000 becomes IQA_PORT=9000. From the
# environment only IQA_* counts: HOST, for one, is set there by many a shell.
given := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
settings = $(foreach name,$(filter-out ARGS CONSTRAINTS DATA PYTHON SLIM VENV WORKERS IQA_%,$(given)),IQA_$(name)='$(subst ','\'',$($(name)))')

.PHONY: serve test test-fast format client lint lint-web train-bundled graphs clean
.DELETE_ON_ERROR:

serve: $(VENV)/installed
	@echo '$(installation)' >&2
	@exec env $(settings) $(VENV)/bin/iqa serve $(ARGS)

# After a crash of a worker pytest-xdist may wait for ever for the tests that it had. Bytecode is kept, whatever the
# environment says: otherwise each of the hundreds of processes that tests start compiles the service again.
pytest = PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(VENV)/bin/python -m pytest \
	--numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

test: $(VENV)/installed-dev
	$(pytest) $(ARGS)

test-fast: $(VENV)/installed-dev
	$(pytest) -m "pure and not slow and not gpu" $(ARGS)

# Both run, even if something is left that ruff cannot fix.
format: $(VENV)/installed-dev
	$(VENV)/bin/ruff check --fix . ; status=$$?; $(VENV)/bin/ruff format . && exit $$status

client: | $(VENV)/bin/python
	@$(pip) wheel --no-deps --wheel-dir dist ./app/client/wheel

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	@$(MAKE) --no-print-directory lint-web

lint-web: tests/web/node_modules/.package-lock.json
	tests/web/node_modules/.bin/eslint --config tests/web/eslint.config.js --max-warnings 0 app/web
	tests/web/node_modules/.bin/tsc --project tests/web

tests/web/node_modules/.package-lock.json: tests/web/package.json tests/web/package-lock.json
	@command -v npm >/dev/null || { \
		echo "The page's JavaScript is checked with Node.js: install nodejs and npm (Debian: apt install nodejs npm)." >&2; \
		exit 1; }
	cd tests/web && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

# What the encoder sees is kept once for all three, which so share their encoder, too.
iqa_train = $(VENV)/bin/iqa train $(1) --pristine '$(DATA)/pristine' --run runs/$(1) --cells runs/cells --workers $(WORKERS) \
	--out models/weights/$(1)-compact.safetensors --license 'Trained on BIQ2021 photographs, which were published for \
	research without a license of their own, and on freely licensed photographs (CC0, CC BY-SA 4.0, Unsplash); \
	encoder: EfficientNet-Lite0, Apache-2.0'

train-bundled: $(VENV)/installed-dev
	@test -d '$(DATA)/pristine' || { echo "Say where the photographs are: make train-bundled DATA=folder" >&2; exit 1; }
	$(call iqa_train,qualiclip) --unlabeled '$(DATA)/biq2021' --minutes 20
	$(call iqa_train,bpclip) --scored '$(DATA)/biq2021' --minutes 40
	$(call iqa_train,bpclip-fr) --unlabeled '$(DATA)/biq2021' --minutes 20
	$(MAKE) graphs

graphs: $(VENV)/installed-dev
	$(VENV)/bin/python -m models.runtime.shipping

# What generates clients, for a test: it wants another typer than the service.
.venv-generator/ready: VENV := .venv-generator
.venv-generator/ready: tests/app/api/generator.txt
	@$(MAKE) --no-print-directory VENV=$(VENV) $(VENV)/bin/python
	@$(pip) install --no-compile --requirement $<
	@touch $@

clean:
	rm -rf .venv .venv-generator .venv-slim

# Debian's Python comes without what puts pip into a new environment; pip can install into it from outside then.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo not there)." \
			"Name another: make PYTHON=python3.12" >&2; exit 1; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip $(VENV)

ifeq ($(SLIM),)
installation := The full installation, with PyTorch. SLIM=1 installs the service without: for CPUs, with the bundled weights.
$(VENV)/installed: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	@$(install) --editable .
	@touch $@
else
installation := The slim installation: CPUs and the bundled weights. Without SLIM=1 it is the full one, with PyTorch.
$(VENV)/installed: pyproject.toml $(CONSTRAINTS) docker/requirements.py | $(VENV)/bin/python
	@$(PYTHON) docker/requirements.py --slim '' >$(VENV)/requirements.txt
	@$(install) --requirement $(VENV)/requirements.txt
	@$(install) --no-deps --editable .
	@touch $@
endif

$(VENV)/installed-dev: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	@$(install) --editable '.[dev]'
	@touch $(VENV)/installed $@
