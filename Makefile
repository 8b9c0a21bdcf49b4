# Daily commands. Everything happens in .venv; a fresh clone needs Python 3.11, make and a C compiler.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# Test processes, each with one thread; a file's tests stay together so that they share what they prepared.
TEST   := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# vLLM's CPU build lives beside the packages of .venv, which it sees and does not change.
VLLM   := .venv-vllm

.PHONY: setup demo test test-fast test-vllm lint format clean constraints

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

# The whole recipe on drawn faces: SFT, GRPO, synthesis, SFT, evaluation after each.
demo: $(STAMP)
	$(BIN)/python -m facial_r1 experiment=demo

test: $(STAMP)
	$(TEST)

# Without the tests that train or start several processes.
test-fast: $(STAMP)
	$(TEST) -m "not slow"

# GRPO steps and answers with vLLM on the CPU; `make test` skips these tests.
test-vllm: $(VLLM)/.installed
	OMP_NUM_THREADS=1 VLLM_CPU_KVCACHE_SPACE=1 $(VLLM)/bin/python -m pytest -m vllm tests/vllm

$(VLLM)/.installed: $(STAMP) tests/vllm/requirements.txt
	rm -rf $(VLLM)
	$(BIN)/python -m venv --without-pip $(VLLM)
	$(BIN)/python -c "import sysconfig; print('import site; site.addsitedir(%r)' % sysconfig.get_path('purelib'))" \
		> "$$($(VLLM)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/beside.pth"
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement tests/vllm/requirements.txt
	touch $@

# Style, types, and a scan for secrets (a made-up one in a test carries `pragma: allowlist secret`).
lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --plugin .ci/hub_tokens.py --disable-plugin Base64HighEntropyString --disable-plugin HexHighEntropyString

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The versions that are installed now become the constraints.
constraints: $(STAMP)
	$(BIN)/python -m facial_r1.config.constraints > constraints.txt

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache
