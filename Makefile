# make demo    depth maps of the bundled photos, from nothing to pictures
# make test    the whole test suite
# make lint    style and format, changing nothing; `make format` changes
# make bench   speed and memory beside transformers and what else is installed, and of the training loader, into runs/bench
# make dpt-tiny   train the bundled model again, from nothing, into runs/dpt-tiny (an hour or two; continues where it stopped)
# make clean   removes what the targets made, the virtual environment too
#
# PYTHON=python3.12   another interpreter          VENV=folder   another virtual environment
# TORCH_INDEX=URL     where torch comes from; https://download.pytorch.org/whl/cpu saves gigabytes of CUDA on Linux
# JOBS=4              test processes

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench dpt-tiny clean

VENV ?= .venv
JOBS ?= 2
BIN := $(VENV)/bin
# `python3` if it is 3.10 to 3.13, else the newest of those that is found.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed '/^`python3`/,$$d'

# A stamp is made once its step has ended well, so a second run starts at once and a broken one is repeated.
$(BIN)/.created:
	@test -n "$(PYTHON)" || { echo "make: Python 3.10 to 3.13 is needed, none found. Install one, or say PYTHON=path." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(BIN)/.installed: setup.cfg constraints.txt | $(BIN)/.created
	@echo "Installing open_dpt into $(VENV) (torch is large; a few minutes the first time)"
	$(if $(TORCH_INDEX),$(PIP_INSTALL) torch --index-url $(TORCH_INDEX))
	$(PIP_INSTALL) --editable .
	@touch $@

$(BIN)/.installed-dev: $(BIN)/.installed
	$(PIP_INSTALL) --editable '.[train,export,test,lint,notebooks]'
	@touch $@

$(BIN)/.installed-lint: constraints.txt | $(BIN)/.created
	$(PIP_INSTALL) ruff
	@touch $@

demo: $(BIN)/.installed
	$(BIN)/open-dpt predict assets/*.jpg --format side-by-side,color,png16 --output demo_output --overwrite
	@echo "Look at $(CURDIR)/demo_output: *_side_by_side.png, *_color.png, and 16-bit *_disparity.png"

test: $(BIN)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

lint: $(BIN)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(BIN)/.installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(BIN)/.installed
	$(BIN)/open-dpt bench --output runs/bench
	$(BIN)/python benchmarks/loader.py --workers 0 $(JOBS) --seconds 1 --images 16 --output runs/bench/loader.json

# One thread a process: two processes wait for each other less often than two threads do.
dpt-tiny: $(BIN)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m open_dpt.data.procedural.cache --output runs/scenes --count 12250 --workers $(JOBS)
	OMP_NUM_THREADS=1 ACCELERATE_USE_CPU=true $(BIN)/torchrun --standalone --nproc-per-node 2 examples/pretrain_procedural.py \
		--preset dpt-tiny --cache_dir runs/scenes --output_dir runs/dpt-tiny --seed 1 --max_train_images 162464 \
		--per_device_train_batch_size 8 --mixed_precision bf16 --resolution_schedule 96:0.42,128:0.45,192:0.13 \
		--checkpointing_steps 300 --average_last 5 --eval_steps 2000 --eval_scenes 48 --save_dtype float16

clean:
	rm -rf $(VENV) build dist *.egg-info demo_output .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
