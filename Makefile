# Each target does its own set-up: all it needs is Python 3.11 or later, make and a package index.
#
#   make demo                   train on real data, one server and two workers, on NumPy
#   make demo BACKEND=jax WORKERS=4 ARGS="--model cnn"
#   make test                   all tests, on every backend; ARGS="-k matmul" narrows them
#   make soak                   ten minutes of a run in which processes are killed all the time

PYTHON  ?= python3
BACKEND ?= numpy
WORKERS ?= 2
JOBS    ?= auto
ARGS    ?=

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test soak coverage lint format types doctest docs wheel-check bench clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

# ---- set-up ------------------------------------------------------------------------------------------------
#
# The editable install is setuptools' default kind, which maps the names `retrograd`, `retrograd.backends` and
# `retrograd.distributed` to the folders, so that a new module is importable as soon as it is saved. The strict
# kind (`editable_mode=strict`) links each file at install time: type checkers can follow it, but a new file
# stays invisible until the next install. `make types` gets its real paths from a tree of links instead, and an
# install depends on pyproject.toml alone.

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("retrograd needs Python 3.11 or later, and $(PYTHON) is " + sys.version.split()[0] + ": say make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed-%: pyproject.toml | $(VENV)/.created
	@echo "Installing retrograd[$*] into $(VENV); the first time takes a minute ..."
	$(PIP) install --quiet --editable '.[$*]'
	@touch $@

DEV  := $(VENV)/.installed-dev
DOCS := $(VENV)/.installed-docs
DEMO := $(VENV)/.installed-examples $(if $(filter jax,$(BACKEND)),$(VENV)/.installed-jax)

# ---- use ---------------------------------------------------------------------------------------------------

demo: $(DEMO)
	$(BIN)/retrograd launch --workers $(WORKERS) --backend $(BACKEND) examples/train_digits.py $(ARGS)

test: $(DEV)
	$(BIN)/pytest -n $(JOBS) --dist worksteal $(ARGS)

soak: $(DEV)
	$(BIN)/python tests/soak.py $(ARGS)

coverage: $(DEV)
	$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage report

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One folder named as the package is, with the real files behind it: what a type checker and the docs read.
.PHONY: build/types
build/types:
	@rm -rf $@ && mkdir -p $@/retrograd
	@ln -s "$(CURDIR)"/core/* "$(CURDIR)/backends" "$(CURDIR)/distributed" $@/retrograd

types: $(DEV) build/types
	$(BIN)/mypy --package retrograd

doctest: $(DEV)
	$(BIN)/pytest tests/test_doctests.py $(ARGS)

docs: $(DOCS) build/types
	$(BIN)/mkdocs build --strict

# A wheel built from the source distribution, so that both are complete, in a venv of its own, imported from
# outside the checkout. `-P` keeps the current folder off the path all the same.
wheel-check: $(DEV)
	rm -rf dist && $(BIN)/python -m build --outdir dist . >/dev/null
	set -e; outside=$$(mktemp -d); trap 'rm -rf "$$outside"' EXIT; \
	$(PYTHON) -m venv "$$outside/venv"; \
	"$$outside/venv/bin/python" -m pip install --quiet --disable-pip-version-check dist/*.whl; \
	cd "$$outside"; \
	venv/bin/python -P -c 'import retrograd as rg, retrograd.distributed; x = rg.tensor([3.0], requires_grad=True); (x * x).sum().backward(); print("retrograd", rg.__version__, rg.__file__, x.grad)'; \
	venv/bin/retrograd --help >/dev/null

bench: $(DEV)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python benchmarks/eager.py $(ARGS)

clean:
	rm -rf $(VENV) build dist site *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
