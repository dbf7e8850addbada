# make serve   sets up .venv, installs the service in it, and starts it: PORT=9000, HOST=0.0.0.0, MODELS=bpclip, ...
# make test    the same with what the tests need, and runs them, several files at a time: ARGS="-k weights"
# make lint    ruff and mypy
#
# PYTHON=python3.12 chooses the interpreter that .venv is made with.

PYTHON ?= python3
VENV := .venv
ARGS ?=

pip = if $(VENV)/bin/python -m pip --version >/dev/null 2>&1; then set -- $(VENV)/bin/python -m pip; \
	else set -- $(PYTHON) -m pip --python $(VENV)/bin/python; fi; \
	"$$@" --disable-pip-version-check --no-input install

# Whatever is set on make's command line is a setting of the service: PORT=9000 becomes IQA_PORT=9000. From the
# environment only IQA_* counts: HOST, for one, is set there by many a shell.
given := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
settings = $(foreach name,$(filter-out ARGS PYTHON VENV IQA_%,$(given)),IQA_$(name)='$(subst ','\'',$($(name)))')

.PHONY: serve test lint clean
.DELETE_ON_ERROR:

serve: $(VENV)/installed
	@exec env $(settings) $(VENV)/bin/iqa serve $(ARGS)

test: $(VENV)/installed-dev
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

clean:
	rm -rf $(VENV)

# Debian's Python comes without what puts pip into a new environment; pip can install into it from outside then.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo not there)." \
			"Name another: make PYTHON=python3.12" >&2; exit 1; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	@$(pip) --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/python
	@$(pip) --editable '.[dev]'
	@touch $(VENV)/installed $@
