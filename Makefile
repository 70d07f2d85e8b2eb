# `make help` lists the targets. Each sets up what it needs, and is quick when that is there.
.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
BENCH_VENV := .venv-bench
ALONE_VENV := .venv-alone
TFDS_VENV := .venv-tfds
DOCS_VENV := .venv-docs
CONFIG ?= experiments/fashion_mnist.py
ARGS ?=
PIP := -m pip install --quiet --disable-pip-version-check

.PHONY: help train test test-exhaustive test-docs test-export test-netron test-faults test-peers test-ray test-data-peers test-gpu-programs fuzz fuzz-data golden pictures gallery docs figures notebook check-notebook lint data bench bench-gpu bench-inspect bench-loader bench-start bench-sweep bench-sweep-scale lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

train: $(VENV)/runtime data ## train on Fashion-MNIST; CONFIG=FILE another experiment, ARGS="--config.train.epochs=10" more flags
	@$(VENV)/bin/python launch.py train --config=$(CONFIG) $(ARGS)

test: lint ## lint, then all tests
	@$(VENV)/bin/python -m pytest --numprocesses=auto --dist=worksteal $(ARGS)

test-exhaustive: lint ## the same with every combination of networks, paddings, types and kills
	@$(VENV)/bin/python -m pytest --exhaustive --numprocesses=auto --dist=worksteal $(ARGS)

test-docs: $(VENV)/development data ## the documentation's commands and programs that train or need Fashion-MNIST
	@$(VENV)/bin/python -m pytest tests/check_docs.py --numprocesses=auto $(ARGS)

test-export: $(VENV)/development $(ALONE_VENV)/installed data ## exported networks of full size beside the live ones; ARGS="--networks cnn --images=500"
	@PYTHONPATH=tests $(VENV)/bin/python -m scripts.export_checks.check --alone=$(ALONE_VENV)/bin/python $(ARGS)

test-ray: $(VENV)/development ## searches on a Ray of several nodes, one of them lost; a search with real workers killed ten times
	@$(VENV)/bin/python -m pytest tests/sweep/search/check_ray_nodes.py tests/sweep/search/check_search_kills.py $(ARGS)

test-netron: $(VENV)/development build/netron/netron/index.html ## their ONNX files in the parser of Netron, by Node.js
	@PYTHONPATH=tests $(VENV)/bin/python -m scripts.export_checks.netron --netron=build/netron/netron $(ARGS)

test-faults: $(VENV)/development ## a full disk at ten levels, an error at every read and write of a run, a kill at each
	@$(VENV)/bin/python -m pytest tests/test_faults.py tests/test_failed_reads.py --every=1 --numprocesses=auto $(ARGS)

test-peers: $(VENV)/development $(BENCH_VENV)/installed ## convolution and pooling beside PyTorch and TensorFlow, networks beside torchvision's, attributions beside captum
	@$(VENV)/bin/python -m pytest tests/peers/check_peers.py tests/peers/check_networks.py tests/peers/check_real_weights.py tests/peers/check_captum.py tests/peers/check_pictures.py --peers=$(abspath $(BENCH_VENV)/bin/python) $(ARGS)

test-data-peers: $(VENV)/development $(TFDS_VENV)/installed ## data sets that TensorFlow and Hugging Face datasets write, read pixel for pixel
	@$(VENV)/bin/python -m pytest tests/peers/check_data_sets.py --tfds=$(abspath $(TFDS_VENV)/bin/python) $(ARGS)

test-gpu-programs: $(VENV)/development build/gpu_compiler/installed ## programs compiled for NVIDIA GPUs that are not here
	@JAX_PLATFORMS=cpu PYTHONPATH=$(abspath build/gpu_compiler) $(VENV)/bin/python -m pytest tests/aot/test_gpu_program.py $(ARGS)

fuzz: $(VENV)/development ## 300 random legal experiments and 300 bad ones; ARGS="--kind=bad --seed=1 --first=0 --count=60"
	@PYTHONPATH=tests $(VENV)/bin/python -m tests.fuzz.run $(ARGS)

fuzz-data: $(VENV)/development ## 200 random damaged or odd inputs; ARGS="--inputs=1000 --first-seed=7" draws others
	@$(VENV)/bin/python -m pytest tests/fuzz_data --inputs=200 $(ARGS)

golden: $(BENCH_VENV)/installed ## write tests/ops/golden/peers.npz and tests/pretrained/golden anew, by PyTorch, torchvision and TensorFlow
	@cd tests && $(abspath $(BENCH_VENV)/bin/python) -m peers.reference ops/golden/peers.npz
	@cd tests && $(abspath $(BENCH_VENV)/bin/python) -m peers.torchvision_outputs pretrained/golden

pictures: $(VENV)/runtime data ## draw the pictures of docs/augmentation.md anew
	@$(VENV)/bin/python -m scripts.augmentation_pictures

gallery: $(VENV)/runtime ## fetch published weights and photographs, check them, draw docs/gallery anew
	@$(VENV)/bin/python -m scripts.gallery.draw

docs: $(DOCS_VENV)/installed ## build the documentation's site in build/docs; a warning or a broken link fails it
	@version=$$(PYTHONPATH=. $(DOCS_VENV)/bin/python -c "import cnn_jax; print(cnn_jax.__version__)") && \
		PYTHONPATH=. $(DOCS_VENV)/bin/python -m sphinx --fail-on-warning --keep-going --quiet --builder=html docs build/docs/$$version $(ARGS) && \
		echo "build/docs/$$version/index.html"

figures: $(VENV)/runtime data ## draw the figures of docs/lecture anew; ARGS="stride pooling" draws some
	@JAX_PLATFORMS=cpu $(VENV)/bin/python -m scripts.docs.figures $(ARGS)

notebook: $(DOCS_VENV)/installed ## run docs/tutorial.ipynb on a CPU and keep its outputs
	@JAX_PLATFORMS=cpu $(DOCS_VENV)/bin/python -m scripts.docs.notebook

check-notebook: $(DOCS_VENV)/installed ## run docs/tutorial.ipynb on a CPU and keep nothing
	@JAX_PLATFORMS=cpu $(DOCS_VENV)/bin/python -m scripts.docs.notebook --check

lint: $(VENV)/development ## style, types and the direction of imports
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@PYTHONPATH=. $(VENV)/bin/lint-imports

data: $(VENV)/runtime ## prepare Fashion-MNIST, by Debian's package or from its official address
	@$(VENV)/bin/python -m cnn_jax.data.prepare

bench: $(VENV)/runtime $(BENCH_VENV)/installed data ## training speed and memory beside peers; ARGS="--networks cnn --only cnn_jax PyTorch --rounds 5"
	@$(VENV)/bin/python -m benchmarks.train_throughput --peers=$(BENCH_VENV)/bin/python $(ARGS)

bench-gpu: $(VENV)/cuda $(BENCH_VENV)/installed data ## the same on an NVIDIA GPU, in bfloat16; ARGS="--networks resnet50 --batch_sizes 128"
	@$(VENV)/bin/python -m benchmarks.train_throughput --peers=$(BENCH_VENV)/bin/python --device=gpu --precision=bfloat16 \
		--only cnn_jax Flax channels-last compiled --networks resnet50 googlenet alexnet resnet18_fashion \
		--batch_sizes 256 --steps=20 $(ARGS)

bench-inspect: $(VENV)/runtime $(BENCH_VENV)/installed ## occlusion and guided backpropagation beside captum; ARGS="--rounds=5 --batch_size=16"
	@$(VENV)/bin/python -m benchmarks.inspection --peers=$(BENCH_VENV)/bin/python $(ARGS)

bench-loader: $(VENV)/runtime $(BENCH_VENV)/installed ## loading of large data beside peers; ARGS="--cores=2 --rounds=3"
	@$(VENV)/bin/python -m benchmarks.loader --peers=$(BENCH_VENV)/bin/python $(ARGS)

bench-start: $(VENV)/runtime data ## what a command costs before it does anything; ARGS="--rounds=3 --beside=FOLDER"
	@$(VENV)/bin/python -m benchmarks.start $(ARGS)

bench-sweep: $(VENV)/runtime data ## what a sweep costs beside its trials' training; ARGS="--rounds=1 --jobs 1"
	@$(VENV)/bin/python -m benchmarks.sweep_overhead $(ARGS)

bench-sweep-scale: $(VENV)/runtime ## what 100 to 10,000 trials cost apart from their training; ARGS="--trials 100 --kinds grid"
	@$(VENV)/bin/python -m benchmarks.sweep_scale $(ARGS)

lock: $(VENV)/development ## compile requirements*.txt from pyproject.toml
	@for each in "requirements.txt" "requirements-dev.txt --group dev" "requirements-cuda.txt --extra cuda" \
		"requirements-tpu.txt --extra tpu" "requirements-gpu-compile.txt --extra gpu-compile" \
		"requirements-ray.txt --extra ray" "requirements-docs.txt --extra docs" \
		"requirements-search.txt --extra search"; do \
		set -- $$each; out=$$1; shift; \
		$(VENV)/bin/uv pip compile pyproject.toml $$@ --universal --python-version 3.11 --no-annotate \
			--custom-compile-command "make lock" --quiet --output-file $$out || exit 1; \
	done

clean: ## remove environments and caches; runs and prepared data stay
	rm -rf $(VENV) $(BENCH_VENV) $(ALONE_VENV) $(TFDS_VENV) $(DOCS_VENV) .*_cache build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments: a stamp is newer than its requirements once they are installed ---

$(VENV)/bin/python:
	@sh scripts/make_venv.sh $(VENV)

$(VENV)/runtime: requirements.txt | $(VENV)/bin/python
	@echo "installing requirements.txt into $(VENV)"
	@$(VENV)/bin/python $(PIP) -r requirements.txt
	@touch $@

$(VENV)/development: requirements-dev.txt | $(VENV)/bin/python
	@echo "installing requirements-dev.txt into $(VENV)"
	@$(VENV)/bin/python $(PIP) -r requirements-dev.txt
	@touch $(VENV)/runtime $@

$(VENV)/cuda: requirements-cuda.txt | $(VENV)/runtime
	@echo "installing requirements-cuda.txt into $(VENV)"
	@$(VENV)/bin/python $(PIP) -r requirements-cuda.txt
	@touch $@

$(TFDS_VENV)/installed: requirements-tfds.txt
	@sh scripts/make_venv.sh $(TFDS_VENV)
	@echo "installing requirements-tfds.txt, datasets and pillow into $(TFDS_VENV)"
	@$(TFDS_VENV)/bin/python $(PIP) -r requirements-tfds.txt datasets pillow
	@touch $@

$(BENCH_VENV)/installed: benchmarks/requirements.txt
	@sh scripts/make_venv.sh $(BENCH_VENV)
	@echo "installing benchmarks/requirements.txt into $(BENCH_VENV)"
	@$(BENCH_VENV)/bin/python $(PIP) --no-compile -r benchmarks/requirements.txt
	@touch $@

$(ALONE_VENV)/installed: requirements.txt
	@sh scripts/make_venv.sh $(ALONE_VENV)
	@echo "installing jax and flatbuffers into $(ALONE_VENV)"
	@grep '^jax==' requirements.txt > $(ALONE_VENV)/jax.txt
	@$(ALONE_VENV)/bin/python $(PIP) flatbuffers -r $(ALONE_VENV)/jax.txt
	@touch $@

# Beside the environment, where JAX would look for a GPU at each start and report that CUDA's libraries are missing.
build/gpu_compiler/installed: requirements-gpu-compile.txt | $(VENV)/bin/python
	@$(VENV)/bin/python $(PIP) --no-deps --upgrade --target build/gpu_compiler --constraint $< jax-cuda12-plugin jax-cuda12-pjrt
	@touch $@

build/netron/netron/index.html: | $(VENV)/bin/python
	@$(VENV)/bin/python $(PIP) --no-deps --target build/netron netron
	@touch $@

$(DOCS_VENV)/installed: requirements-docs.txt
	@sh scripts/make_venv.sh $(DOCS_VENV)
	@echo "installing requirements-docs.txt into $(DOCS_VENV)"
	@$(DOCS_VENV)/bin/python $(PIP) --no-compile -r requirements-docs.txt
	@touch $@
