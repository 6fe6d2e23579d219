# Every target sets up .venv by itself.
PYTHON ?= python3
BIN := .venv/bin
PROMPT := The capital of the state containing Dallas is
export HF_HUB_OFFLINE ?= 1

.PHONY: demo test lab check bench clean

demo: .venv/ready  ## trace a prompt on the pocket model, offline
	@mkdir -p demo
	$(BIN)/gemma-circuits attribute "$(PROMPT)" --out demo/dallas.safetensors

test: .venv/ready  ## the whole test suite
	$(BIN)/python -m pytest

lab: .venv/ready  ## open the notebooks in JupyterLab
	$(BIN)/gemma-circuits lab notebooks

check: .venv/ready  ## lint and type-check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright

bench: .venv/ready  ## how fast attribution is; more: make bench ARGS='--help'
	$(BIN)/python benchmarks/attribution.py $(ARGS)

clean:
	rm -rf .venv demo dist build *.egg-info .pytest_cache .ruff_cache .hypothesis

# torch goes first and exactly, so that nothing else chooses a build of it.
.venv/ready: pyproject.toml Makefile
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "Python 3.11 to 3.13 is needed")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@
