# Two commands do everything, set-up included: `make demo` and `make test`.
PYTHON ?= python3
PYTHON_OLDEST ?= python3.10
VENV ?= .venv
OLDEST := .venv-oldest
BIN := $(VENV)/bin
TESTS := -m pytest -n 2 --dist worksteal -q
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test test-oldest lint format benchmarks clean

demo: $(VENV)/ready
	$(BIN)/python recipes/retinanet_r50_fpn_1x.py --out runs/demo $(if $(wildcard runs/demo/last.npz),--resume)

test: $(VENV)/ready lint
	$(BIN)/python $(TESTS)

# the same tests on the oldest versions that setup.py allows
test-oldest: $(OLDEST)/ready
	$(OLDEST)/bin/python $(TESTS)

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/ready: setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

$(OLDEST)/ready: setup.py tests/oldest.txt
	$(PYTHON_OLDEST) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --upgrade pip
	$(OLDEST)/bin/python -m pip install --quiet --editable ".[test]" --constraint tests/oldest.txt
	touch $@

# runs for an hour; PEER is a Python with torch and torchvision, BENCHMARKS more options
benchmarks: $(VENV)/ready
	$(BIN)/python benchmarks/page.py $(if $(PEER),--peer $(PEER)) $(BENCHMARKS)

clean:
	rm -rf build dist *.egg-info runs
