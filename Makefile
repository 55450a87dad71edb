# The two commands of the README: `make demo` and `make test`. Both set up the environment first, once.
SHELL := /bin/bash
.DELETE_ON_ERROR:
BIN := .venv/bin

.PHONY: demo test check setup lock dag

demo: setup ## the whole workflow on simulated machines; prints the path of the report
	@$(BIN)/snakemake --profile profiles/demo

test: .venv/dev.done ## unit, DAG and end-to-end tests, and the style gates
	@$(MAKE) --no-print-directory check
	@$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder

check: .venv/dev.done
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/snakefmt --check --compact-diff Snakefile rules
	@$(BIN)/snakemake --profile profiles/demo --lint

FOLD := results/dev/fused/cross_fitted/fan

dag: setup ## the rule graph and the DAG of one fold as SVG, in docs/
	@command -v dot >/dev/null || { echo "make dag: there is no dot: apt-get install graphviz" >&2; exit 1; }
	@set -o pipefail; PYTHONHASHSEED=0 $(BIN)/snakemake --quiet all --forceall --rulegraph | dot -Tsvg -o docs/rules.svg.part
	@set -o pipefail; PYTHONHASHSEED=0 $(BIN)/snakemake --quiet all --forceall --dag -- $(FOLD) | dot -Grankdir=LR -Tsvg -o docs/fold.svg.part
	@mv docs/rules.svg.part docs/rules.svg; mv docs/fold.svg.part docs/fold.svg

setup: .venv/runtime.done ## the pinned environment in .venv

.venv/runtime.done: envs/runtime.lock envs/set-up pyproject.toml
	@envs/set-up runtime

.venv/dev.done: envs/dev.lock .venv/runtime.done
	@envs/set-up dev

lock: setup ## resolve the pins anew after a change in pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate pyproject.toml -o envs/runtime.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate --extra dev -c envs/runtime.lock pyproject.toml -o envs/dev.lock
