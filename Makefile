# The everyday verbs. Each is one line: what happens is in infra/deploy and .ci.

STACK := infra/deploy/bootstrap.sh
LOCK := env -u PIP_FIND_LINKS CUSTOM_COMPILE_COMMAND="make locks" .venv/bin/pip-compile --quiet --generate-hashes \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --strip-extras --allow-unsafe

.PHONY: up down status logs clean test lint bench chaos tempest locks

up down status logs clean:
	@$(STACK) $@

test:
	@bash .ci/run

lint:
	@$(STACK)
	.venv/bin/ruff check && .venv/bin/ruff format --check && .venv/bin/mypy

bench:
	@$(STACK) up
	.venv/bin/python -m tests.bench
	.venv/bin/python -m tests.bench.scheduler

chaos:
	@bash .ci/chaos

tempest:
	@$(STACK) up
	.venv/bin/python -m tests.tempest

locks:
	$(LOCK) -o requirements/main.txt pyproject.toml
	$(LOCK) --extra dev -c requirements/main.txt -o requirements/dev.txt pyproject.toml
	$(LOCK) -o requirements/client.txt requirements/client.in
	$(LOCK) -o requirements/tempest.txt requirements/tempest.in
