# With Python 3.11 or later, `make demo` and `make test` do all the set-up by themselves.
# The environment is in .venv, and is updated only when pyproject.toml has changed.

PYTHON ?= python3
PYTEST_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
# crd-table.yaml takes days on a GPU and is run by hand.
REAL_STUDIES := $(filter-out studies/quickstart.yaml studies/crd-table.yaml,$(sort $(wildcard studies/*.yaml)))
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
# TORCH=cpu installs CPU builds of torch, without CUDA's gigabytes, by uv; also cu130, rocm7.0, ... as uv names them.
TORCH ?=
INSTALL = $(if $(TORCH),$(PIP) install uv && $(BIN)/uv pip install -q --python $(BIN)/python --torch-backend $(TORCH),$(PIP) install)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test check lint types format tables site browser studies bench selftest soak clean \
	evidence-base evidence-base-plan evidence-base-package

# $(call debian,PACKAGE,SENTENCE): as root on Debian, install a package; elsewhere say what to do. APT=no
# installs nothing.
APT ?= yes
define debian
if [ "$$(id -u)" = 0 ] && [ "$(APT)" != no ] && command -v apt-get >/dev/null 2>&1; then \
	echo "Installing the Debian package $(1) with apt-get, as root (with APT=no nothing is installed)"; \
	apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1) >/dev/null; \
else \
	echo "$(2)" >&2; exit 1; \
fi
endef

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-21s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## set up, run the quickstart study, and print where its report is
	$(BIN)/distillab demo --out runs/quickstart
	@echo "The report is in $(CURDIR)/runs/quickstart/report.html"

# One thread per process: the test processes share the cores, and sums do not depend on the machine.
test: export OMP_NUM_THREADS = 1
test: lint types browser ## set up and run everything that CI runs
	$(BIN)/python -m pytest -n auto --maxprocesses 8 $(PYTEST_ARGS)

# One thread per process, as in `test`.
check: export OMP_NUM_THREADS = 1
check: lint types ## style, types, and the tests of what changed since the branch left main (a minute or two)
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 $$($(BIN)/python .ci/changed_tests.py) $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev ## style, formatting, and the order of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.installed-dev ## static types
	$(BIN)/mypy

format: $(VENV)/.installed-dev ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

tables: $(VENV)/.installed ## write the tables in docs/ that come from the registries and from docs/results/
	$(BIN)/python docs/methods_table.py
	$(BIN)/python docs/factors_table.py
	$(BIN)/python docs/answer_table.py
	$(BIN)/python docs/advice_table.py
	$(BIN)/python docs/claims_page.py
	$(BIN)/python docs/systems_table.py

site: $(VENV)/.installed-dev ## build the documentation as a site, into build/site
	$(BIN)/mkdocs build --strict --quiet

browser: ## make sure that there is a Chromium for the tests that open the report
	@command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 \
	|| command -v google-chrome >/dev/null 2>&1 || { $(call debian,chromium,The tests open the report in a \
	browser: install Chromium (on Debian: apt-get install chromium) or Google Chrome and try again.); }

studies: $(VENV)/.installed ## run the studies on real data (hours; the folder of the data in DISTILLAB_DATA)
	@test -n "$$DISTILLAB_DATA" && test -d "$$DISTILLAB_DATA" || { \
		echo "These studies use real data: make studies DISTILLAB_DATA=/absolute/path/of/their/folder" \
			"(CONTRIBUTING.md lists what it holds)" >&2; exit 1; }
	@worst=0; for study in $(REAL_STUDIES); do \
		echo "$$study"; \
		$(BIN)/distillab run "$$study" --out "runs/$$(basename "$$study" .yaml)" || worst=$$?; \
	done; exit $$worst

bench: $(VENV)/.installed-dev ## measure speed and statistical properties (prints tables; minutes)
	$(BIN)/python -m pytest -q -s benchmarks
	@for benchmark in $(sort $(filter-out benchmarks/test_%.py,$(wildcard benchmarks/*.py))); do \
		echo "$$benchmark"; $(BIN)/python "$$benchmark" || exit; \
	done

TIER ?= R S T
MINUTES ?= 60
WORKERS ?= $(shell nproc 2>/dev/null || echo 1)
OUT ?= runs/evidence-base
EVIDENCE = $(BIN)/python studies/evidence/make.py --tier $(TIER) --out $(OUT) --workers $(WORKERS)

evidence-base: $(VENV)/.installed-dev ## make contexts for MINUTES=60 of TIER=R (S, T) with WORKERS processes, into OUT; resumes
	@test -n "$$DISTILLAB_DATA" || { echo "Tiers R and T use real data: set DISTILLAB_DATA to the absolute path of" \
		"their folder (docs/evidence-base.md lists what it holds)" >&2; exit 2; }
	$(EVIDENCE) --minutes $(MINUTES)

evidence-base-plan: $(VENV)/.installed-dev ## what is left of the evidence base, and the hours it takes here
	$(EVIDENCE) --plan

evidence-base-package: $(VENV)/.installed-dev ## merge what is made in OUT into the files that ship with the package
	$(BIN)/python studies/evidence/make.py --pack --out $(OUT)

selftest: $(VENV)/.installed ## check intervals and verdicts on small trained networks (at most 20 minutes on two cores)
	$(BIN)/distillab selftest --out runs/selftest

CASES ?= 100000
KILLS ?= 200
soak: export OMP_NUM_THREADS = 1
soak: $(VENV)/.installed-dev ## faults: CASES=100000 changed files, KILLS=200 processes, full disks, 5,000 jobs (hours)
	DISTILLAB_FUZZ_CASES=$(CASES) DISTILLAB_KILLS=$(KILLS) DISTILLAB_DISKS=40 DISTILLAB_JOBS=5000 DISTILLAB_RUNS=200 \
		$(BIN)/python -m pytest -q -rA -n auto --maxprocesses 8 tests/faults $(PYTEST_ARGS)

clean: ## remove the environment and what tools leave behind (not runs/)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
		echo "distillab needs Python 3.11 or later, and there is no $(PYTHON): install it," \
			"or name another with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "distillab needs Python 3.11 \
	or later, and $(PYTHON) is " + sys.version.split()[0] + ": name another with make PYTHON=...")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(call debian,python3-venv,This Python cannot make \
	virtual environments: install its venv module (on Debian: apt-get install python3-venv) and try again.); }
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed: pyproject.toml $(BIN)/python
	@echo "Installing distillab into $(VENV) (once; takes minutes, and gigabytes where torch brings CUDA)"
	@$(INSTALL) --editable '.[cpu,demo]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(BIN)/python
	@echo "Installing distillab and its tools into $(VENV) (once; takes minutes, and gigabytes where torch brings CUDA)"
	@$(INSTALL) --editable '.[dev]'
	@touch $(VENV)/.installed $@
