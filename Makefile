# What one does with Trove; `make` alone lists it. ARGS="…" is handed on to the command behind a target.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help install run test oracle check bench vendor schema clean
export PATH := $(CURDIR)/.trove/tools/bin:$(PATH)
UV_RUN := uv run --frozen
# With it, each process of Trove compiles some two thousand modules before it begins, for two seconds.
unexport PYTHONDONTWRITEBYTECODE

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 20

install: ## install what is missing: uv, the Python packages, PostgreSQL with PostGIS, Redis
	@.ci/provision uv
	exec uv sync --frozen
	@.ci/provision services

run: ## start Trove with a private Postgres and Redis, or those of DATABASE_URL and REDIS_URL
	@.ci/provision uv services
	@exec $(UV_RUN) --no-dev trove up $(ARGS)

test: ## run the tests, one process per core
	@.ci/provision uv services browser
	@exec $(UV_RUN) pytest -n "$$(getconf _NPROCESSORS_ONLN)" --dist worksteal $(ARGS)

# Twenty thousand documents unless TROVE_ORACLE_DOCUMENTS says otherwise; TROVE_ORACLE_SEED repeats a run.
oracle: ## ask random documents of random databases by both paths; the answers have to be the same
	@.ci/provision uv services
	@TROVE_ORACLE_DOCUMENTS="$${TROVE_ORACLE_DOCUMENTS:-20000}"; \
	TROVE_ORACLE_SEED="$${TROVE_ORACLE_SEED:-$$(date +%s)}"; export TROVE_ORACLE_DOCUMENTS TROVE_ORACLE_SEED; \
	echo "$$TROVE_ORACLE_DOCUMENTS documents of TROVE_ORACLE_SEED=$$TROVE_ORACLE_SEED"; \
	exec $(UV_RUN) pytest -n "$$(getconf _NPROCESSORS_ONLN)" tests/graph/oracle/test_oracle.py $(ARGS)

check: ## check style, types, the arrows between rooms, the printed schema and the migrations
	@.ci/provision uv services
	exec uv lock --check --offline
	exec $(UV_RUN) ruff check .
	exec $(UV_RUN) ruff format --check .
	exec $(UV_RUN) mypy
	exec $(UV_RUN) lint-imports
	exec $(UV_RUN) trove schema --check
	exec $(UV_RUN) trove docs --check
	exec $(UV_RUN) trove migrate --check

bench: ## measure the promises of speed
	@.ci/provision uv services bench
	@exec $(UV_RUN) python -m tests.bench $(ARGS)

vendor: ## fetch the GraphiQL bundle that the server serves, and the table of cities
	@.ci/vendor-graphiql
	@.ci/vendor-cities

schema: ## print the public graph into schema.graphql, and what the README takes from the code
	@.ci/provision uv
	@exec $(UV_RUN) trove schema $(ARGS)
	@exec $(UV_RUN) trove docs

clean: ## remove caches; the private database in .trove stays
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache bench*.json
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
