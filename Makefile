PYTHON ?= python3
BIN := .venv/bin
PROCESSES ?= 2
PRECISION ?= $(shell grep -qs avx512_bf16 /proc/cpuinfo && echo bf16 || echo fp32)
export OMP_WAIT_POLICY ?= passive

.PHONY: demo test lint bench fuzz clean

# From a fresh clone to a generator of cars, a video of it and a mesh: seven minutes on two CPU cores with bf16.
demo: .venv
	OMP_NUM_THREADS=1 $(BIN)/torchrun --standalone --nproc-per-node $(PROCESSES) -m genscene \
		train pigan-demo --out demo/run --resume --device cpu --precision $(PRECISION)
	$(BIN)/genscene render demo/run --out demo/orbit.mp4 --seeds 0-7 --size 96 --samples 32
	$(BIN)/genscene render demo/run --out demo/grid.png --seeds 0-7 --size 64 --samples 32
	$(BIN)/genscene render demo/run --out demo/depth.png --seeds 0-7 --size 64 --samples 32 --show depth
	$(BIN)/genscene export mesh demo/run --out demo/car.glb --seed 0
	$(BIN)/genscene evaluate demo/run --count 1000 --out demo/numbers.json
	@echo "look at demo/grid.png, demo/depth.png, demo/orbit.mp4, demo/numbers.html and demo/car.glb"

# Tests that measure time or memory, send signals or start several processes run alone.
ALONE := tests/border $(wildcard tests/cli/test_[fst]*.py) $(wildcard tests/training/test_[dfnr]*.py) $(wildcard tests/viewer/test_[bt]*.py)
test: .venv
	$(BIN)/python -m pytest tests $(ALONE:%=--ignore=%) -n $(PROCESSES) --dist worksteal
	$(BIN)/python -m pytest $(ALONE)

lint: .venv
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

bench: .venv
	$(BIN)/python -m benchmarks.run

# Hostile files of every kind for MINUTES; prints the counts by outcome, and how to repeat what ended badly.
MINUTES ?= 20
fuzz: .venv
	$(BIN)/python tests/border/fuzz.py --minutes $(MINUTES)

clean:
	rm -rf .venv demo

.venv: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,viewer]'
	@touch .venv
