# Every target is one script; `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help dev demo test lint coverage verify bench compare check-consumer check-alerts check-dashboards check-collector boards observe \
	build k8s-deploy k8s-status k8s-logs-api migrate-up migrate-down check-hpa \
	docker-build docker-push terraform-init terraform-plan terraform-apply check-ops check-make deny release

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

dev: ## Run the server (api, worker and web in one) on SQLite, at a free loopback port
	@scripts/dev.sh

demo: ## Build, start, load for 20 s and explain what was measured; INPUT=FILE.csv imports a table first
	@scripts/demo.sh $(if $(INPUT),--input "$(INPUT)")

test: ## Install what is missing, then run every test, doc test, and each benchmark once
	@scripts/test.sh

lint: ## Format, clippy, each feature alone, documentation, dependency promises
	@scripts/lint.sh

coverage: ## Line coverage a crate; fails below 80 %
	@scripts/coverage.sh

bench: ## Run the criterion suites
	@cargo bench -p benches

compare: ## Compare the criterion suites with the newest release tag: make compare [ARGS="--base REV"]
	@scripts/run-benchmarks.sh $(ARGS)

deny: ## Licences, sources, bans and vulnerabilities of every dependency, by cargo-deny; ARGS=--install builds it where it is missing
	@scripts/check-policy.sh $(ARGS)

verify: ## Measure the promises: make verify AREA=system [ARGS="--only S1"]
	@scripts/verify.sh $(AREA) $(ARGS)

check-consumer: ## Package the five crates and build a new project on each, outside the workspace
	@scripts/check-consumer.sh

check-alerts: ## Alerts: syntax, a firing and a silent test each, runbook, routes, names that are exported
	@scripts/check-alerts.sh $(ARGS)

check-dashboards: ## Boards: as the code makes them, the linter's rules, queries; ARGS="--live URL" asks a Prometheus
	@scripts/check-dashboards.sh $(ARGS)

check-collector: ## The OpenTelemetry collector's configuration: its structure; no collector runs it
	@scripts/check-collector.sh $(ARGS)

boards: ## Write Grafana's boards from the code in infra/boards
	@cargo run --quiet -p boards -- write

observe: ## Run the three roles, their exporters, traffic and a Prometheus with our rules, on system-picked ports
	@scripts/observe.sh $(ARGS)

build: ## Build the server as one static executable, for images that hold nothing else
	@scripts/build.sh

k8s-deploy: ## Deploy in seven steps: make k8s-deploy OVERLAY=staging TAG=1.2.3 REGISTRY=registry.example/team [CONTEXT=…]
	@CONTEXT="$(CONTEXT)" scripts/k8s-deploy.sh "$(OVERLAY)" "$(TAG)" "$(REGISTRY)"

k8s-status: ## What runs: make k8s-status OVERLAY=staging [CONTEXT=…]
	@CONTEXT="$(CONTEXT)" scripts/k8s-status.sh "$(OVERLAY)"

k8s-logs-api: ## Newest log lines of the api: make k8s-logs-api OVERLAY=staging [ARGS=--follow] [CONTEXT=…]
	@CONTEXT="$(CONTEXT)" scripts/k8s-logs.sh "$(OVERLAY)" api $(ARGS)

migrate-up: ## Bring the schema of OFFGRIDFLOW_DATABASE_URL up to date
	@scripts/migrate-up.sh

migrate-down: ## DROP every table of OFFGRIDFLOW_DATABASE_URL: make migrate-down YES=drop-every-table
	@YES="$(YES)" scripts/migrate-down.sh

check-hpa: ## Autoscalers: schema, what no schema says, broken ones refused, golden cases, memory pin, predictions as written
	@scripts/check-hpa.sh $(ARGS)

docker-build: ## Images of the three roles: make docker-build ENGINE=docker|buildah REGISTRY=registry.example/team TAG=1.2.3
	@ENGINE="$(or $(ENGINE),docker)" REGISTRY="$(REGISTRY)" TAG="$(TAG)" scripts/docker-build.sh

docker-push: ## Push them: the same settings
	@ENGINE="$(or $(ENGINE),docker)" REGISTRY="$(REGISTRY)" TAG="$(TAG)" scripts/docker-push.sh

terraform-init: ## Prepare infra/terraform: make terraform-init ENV=staging [STACK=layout|aws] [ARGS=…]
	@scripts/terraform.sh init "$(ENV)" $(or $(STACK),layout) $(ARGS)

terraform-plan: ## Show what would change; the same settings
	@scripts/terraform.sh plan "$(ENV)" $(or $(STACK),layout) $(ARGS)

terraform-apply: ## Change it; the same settings
	@scripts/terraform.sh apply "$(ENV)" $(or $(STACK),layout) $(ARGS)

check-make: ## This file: every target is listed, leads to a script that is there, and is run by a test or says why not
	@scripts/check-make.sh

check-ops: ## All checks of operations, the heavy ones too: images, Terraform, release, live Prometheus, promises; half an hour, root
	@scripts/check-ops.sh $(ARGS)

release: ## Go through a release and change nothing: make release VERSION=0.1.0
	@scripts/release.sh --dry-run "$(VERSION)"
