# Every target sets itself up from nothing but Python >= 3.11, g++ and make.

PYTHON ?= python3
UV := .venv/bin/uv
READY := .venv/.ready
COMPILED := .venv/.compiled
OLDEST := build/oldest
THEIRS := build/transformers-tests/.ready
LMMS_EVAL := build/lmms-eval
LMMS_EVAL_VERSION := 0.7.3
PACKAGES := $(patsubst %/pyproject.toml,%,$(wildcard packages/*/pyproject.toml))
PROJECTS := pyproject.toml $(PACKAGES:%=%/pyproject.toml)

# ninja, which DeepSpeed compiles with, is in the environment. One thread a test process: two of
# them share two cores.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export UV_HTTP_TIMEOUT ?= 300
# What DeepSpeed compiles names the folders of its environment; in a shared cache two of them would
# compile it again and again, in turns.
export TORCH_EXTENSIONS_DIR ?= $(CURDIR)/.venv/torch_extensions
TEST = OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false python -m pytest -n 2

.PHONY: help quickstart test test-all test-oldest test-transformers test-lmms-eval \
	lmms-eval fuzz torture bench lint format wheels pins clean

help: ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

quickstart: $(READY) ## compose, train, measure and talk: the main job in one command
	mmmodal quickstart $(if $(OUT),--out $(OUT))

test: $(COMPILED) ## everything a commit can break; at most 15 minutes on two cores
	$(TEST)

test-all: $(COMPILED) $(THEIRS) ## what is slow and `make test` leaves out; at most 60 minutes
	$(TEST) -m slow || [ $$? -eq 5 ] # 5: there is none yet

# What old versions warn of is not to be mended here.
test-oldest: $(OLDEST)/.ready ## `make test` on the oldest versions the packages declare
	PATH="$(CURDIR)/$(OLDEST)/bin:$$PATH" \
		TORCH_EXTENSIONS_DIR="$(CURDIR)/$(OLDEST)/torch_extensions" $(TEST) -W default

test-transformers: $(READY) $(THEIRS) ## transformers' own tests of models, on ours
	$(TEST) -m slow tests/test_transformers_mixins.py

test-lmms-eval: $(COMPILED) $(LMMS_EVAL)/.ready ## lmms-eval's own command on our models, against ours
	$(TEST) -m slow packages/lmms-eval/tests

lmms-eval: $(LMMS_EVAL)/.ready ## install lmms-eval with these packages in build/lmms-eval

fuzz: $(READY) ## damage N images and N clips (100,000) and read them
	python packages/core/tests/fuzzing --count $(or $(N),100000) --workers 2 --json build/fuzz.json

torture: $(COMPILED) ## kill trainings N times (100) at random moments, alone and under ZeRO-2
	MMMODAL_KILLS=$(or $(N),100) $(TEST) -m slow -k many tests/test_kill.py

bench: $(READY) ## run every benchmark; each prints a table and writes JSON
	@set -e; for file in $$(grep -l __main__ bench/*.py); do echo "$$file"; python "$$file"; done

lint: $(READY) ## ruff, mypy --strict, what imports what, what nothing calls
	ruff check
	ruff format --check
	mypy
	lint-imports
	vulture

format: $(READY) ## sort imports, format
	ruff check --fix-only
	ruff format

wheels: $(READY) ## build a wheel of every package into dist/
	rm -rf dist
	uv build --quiet --all-packages --wheel --out-dir dist

pins: $(READY) ## pin the newest versions in constraints.txt, for `make test` to try
	mkdir -p build
	uv pip compile --quiet --python-version 3.11 --no-header --no-annotate --group dev --group trl --group bench \
		$(PACKAGES:%=%/pyproject.toml) | grep -vE '^(-e|nvidia-|cuda-|triton=)' > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean: ## remove what was built, the environment too
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(UV): constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python >= 3.11 is needed; name one: make PYTHON=python3.11 ..." >&2; exit 1; }
	[ -x .venv/bin/python ] || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@touch $@

# uv reads no pip settings, so a user's own index or links do not change what is installed.
$(READY): $(UV) constraints.txt $(PROJECTS)
	$(UV) pip install --python .venv --quiet -c constraints.txt --group dev --group trl --group bench \
		$(PACKAGES:%=-e %)
	@touch $@

# What DeepSpeed compiles when it is first used; no test's time should count that.
$(COMPILED): $(READY)
	mkdir -p build
	python tests/support/deepspeed_operators.py > build/compiled.log 2>&1 || \
		{ cat build/compiled.log >&2; exit 1; }
	@touch $@

# Only the source distribution has them. `--no-build-isolation` keeps pip from fetching what builds it.
$(THEIRS): $(READY) constraints.txt
	rm -rf build/transformers-tests
	mkdir -p build/transformers-tests
	.venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --no-binary transformers --dest build/transformers-tests \
		"$$(grep '^transformers==' constraints.txt)"
	cd build/transformers-tests && tar -xzf transformers-*.tar.gz --strip-components=1
	@touch $@

# In an environment of its own, as it pins others of our dependencies.
$(LMMS_EVAL)/.ready: $(UV) constraints.txt $(PROJECTS) packages/lmms-eval/overrides.txt
	$(UV) venv --quiet --clear --python .venv/bin/python $(LMMS_EVAL)
	$(UV) pip install --python $(LMMS_EVAL) --quiet -c constraints.txt \
		--overrides packages/lmms-eval/overrides.txt "lmms-eval==$(LMMS_EVAL_VERSION)" $(PACKAGES:%=-e %)
	@touch $@

$(OLDEST)/.ready: $(UV) constraints-oldest.txt $(PROJECTS)
	$(UV) venv --quiet --clear --python .venv/bin/python $(OLDEST)
	$(UV) pip install --python $(OLDEST) --quiet -c constraints-oldest.txt --group dev $(PACKAGES:%=-e %)
	@touch $@
