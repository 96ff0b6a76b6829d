# make demo   set up, compare the bundled encoders, write demo/report.html
# make test   set up, run the tests
# make check  format, lint, types, import directions, tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: demo test check clean

demo: $(READY)
	$(BIN)/vitscope demo --out demo

test: $(READY)
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/pyright
	$(BIN)/python -m pytest tests/test_import_directions.py
	$(BIN)/python -m pytest

# uv where present, else venv and pip; either way the versions of constraints.txt.
$(READY): pyproject.toml constraints.txt
	@if command -v uv >/dev/null 2>&1; then \
		echo "setting up with uv"; \
		uv venv --quiet --allow-existing --python '>=3.11' $(VENV) && \
		uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt \
			--editable . --group dev; \
	else \
		echo "setting up with venv and pip"; \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vitscope needs Python 3.11 or newer; try make PYTHON=python3.12")' && \
		$(PYTHON) -m venv $(VENV) && \
		$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' && \
		$(BIN)/python -m pip install --quiet --constraint constraints.txt \
			--editable . --group dev; \
	fi
	@touch $(READY)

clean:
	rm -rf $(VENV) demo report
