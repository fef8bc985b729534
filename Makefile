# Two commands do everything, set-up included: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test lint format clean

demo: $(VENV)/ready
	$(BIN)/python recipes/retinanet_r50_fpn_1x.py --out runs/demo $(if $(wildcard runs/demo/last.npz),--resume)

test: $(VENV)/ready lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -q

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

clean:
	rm -rf build dist *.egg-info runs
