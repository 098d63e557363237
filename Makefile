# Every target sets itself up: the first call makes .venv (about 5 GB, some minutes), later calls find it ready.
#   make run     start the daemon on tasks/, with a few example tasks if there are none yet
#   make test    all tests           make lint    ruff and mypy           make bench   speed and first light
# ARGS is handed on, e.g. make run ARGS=--once, make test ARGS="-k intake".

PYTHON := .venv/bin/python
LEARND := .venv/bin/learnd
READY := .venv/.ready
EXAMPLES := digits-0-4 digits-5-9 photos

.PHONY: setup run test lint bench

setup: $(READY)

# Cut short, it is mended by the next call: .unfinished marks a half-made environment, and a package without pip's
# mark INSTALLER is half unpacked, though pip would take it for a whole one.
$(READY): pyproject.toml
	@if [ -e .venv/.unfinished ] || ! $(PYTHON) -c '' 2>/dev/null; then \
	    for each in python3.13 python3.12 python3.11 python3; do \
	        if $$each -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	            python=$$each; break; \
	        fi; \
	    done; \
	    if [ -z "$$python" ]; then \
	        echo "learnd needs Python 3.11 or later, with its venv module, and finds none on the PATH." >&2; \
	        echo "  -> install one, e.g.: sudo apt install python3.12 python3.12-venv" >&2; \
	        exit 1; \
	    fi; \
	    echo "setting up .venv with $$python: about 5 GB (PyTorch with CUDA), once" >&2; \
	    rm -rf .venv && mkdir .venv && touch .venv/.unfinished && $$python -m venv .venv && rm .venv/.unfinished; \
	fi
	@for info in .venv/lib/python3.*/site-packages/*.dist-info; do [ -e $$info/INSTALLER ] || rm -rf $$info; done
	@$(PYTHON) -m pip install --disable-pip-version-check --editable '.[dev,examples]'
	@touch $@

run: $(READY)
	@if [ -z "$$(find tasks -mindepth 1 -maxdepth 1 -type d ! -name '.*')" ]; then \
	    for name in $(EXAMPLES); do \
	        held_out="--held-out examples"; \
	        if [ -e examples/$$name ]; then held_out=""; fi; \
	        $(LEARND) examples $$name tasks $$held_out || exit; \
	    done; \
	fi
	@echo "Once a task is learned, ask in another terminal: $(LEARND) predict examples/*/*/*.png" >&2
	@exec $(LEARND) run $(ARGS)

test: $(READY)
	@$(PYTHON) -m pytest --numprocesses auto --dist loadfile $(ARGS)

lint: $(READY)
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@$(PYTHON) -m mypy plugins benchmarks

bench: $(READY)
	@$(PYTHON) -m benchmarks.speed
	@$(PYTHON) -m benchmarks.first_light
