# souk: what one does here, one line each (`make help`). The work is in scripts/; builds are the CMake presets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
SOUK := build/release/souk
export STAGE DRY YES

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## install what is missing, build, fill the shop and serve it on 127.0.0.1:8080
	@scripts/run
test: ## every check and test (SUITE=cart: one suite; ENGINE=postgres: only the API tests on that engine)
	@ENGINE="$(ENGINE)" scripts/test "$(SUITE)"
turbo: ## build and test every workspace, with what has not changed out of a cache (ARGS="--filter=@souk/client")
	@scripts/setup test && TURBO_TELEMETRY_DISABLED=1 npx turbo run build test $(ARGS)
bench: ## measure, beside nginx on the same core and pgbench on the same PostgreSQL
	@scripts/bench
scale: ## measure lists of a million products and orders on PostgreSQL, beside ten thousand (takes long, 20 GB of disk)
	@scripts/scale
dev: ## serve a debug build; rebuild and restart on every change
	@scripts/dev
build: ## the release binary: build/release/souk
	@scripts/setup run && scripts/build release
lambda: ## the package of the AWS Lambda functions: dist/souk-lambda-ARCH.zip (ARCH=arm64 or x86_64)
	@scripts/lambda $(ARCH)
lambda-test: ## the API, contract and race suites over the Lambda front end (FRONT=rest, ENGINE=sqlite, SUITE=cart)
	@FRONT="$(FRONT)" ENGINE="$(ENGINE)" scripts/lambda-test $(SUITE)
deb: ## the Debian package: dist/souk_VERSION_ARCH.deb
	@scripts/setup run && scripts/build release && scripts/deb
deb-test: ## install, upgrade, roll back that package in a Debian of its own (as root; downloads it once, takes minutes)
	@scripts/setup delivery && scripts/delivery deb
image-test: ## carry out the Dockerfile's steps without Docker and run what comes of them (as root; takes minutes)
	@scripts/setup delivery && scripts/delivery image
release: ## what a release has of this machine's processor: dist/release (TAG=v0.1.0: that must be its version)
	@scripts/setup test && scripts/build release && TAG="$(TAG)" scripts/release
coverage: ## line and branch coverage of the tests: build/coverage/report
	@scripts/setup test && scripts/coverage
deploy: ## build souk and put all of it onto AWS (STAGE=dev, DRY=1: say what would be done, C='domainName=... hostedZoneId=...')
	@scripts/deploy all $(C:%=-c %)
deploy-infra: ## the stacks, with the package that is in dist/ (STAGE, DRY, C as above)
	@scripts/deploy infra $(C:%=-c %)
deploy-code: ## only the functions' code: migrations, then a canary of each (STAGE, DRY, C as above)
	@scripts/deploy code $(C:%=-c %)
destroy: ## take the stacks of STAGE down again (DRY=1 first)
	@scripts/deploy destroy $(C:%=-c %)
contract: ## generate what follows from api/openapi.yaml
	@scripts/setup test && scripts/npm run contract
check: ## format, linter, SQL, includes, types, stale generated files
	@scripts/setup test && scripts/check
format: ## format the C sources
	@scripts/setup test && scripts/format
asan: ## unit tests under the address and undefined-behaviour sanitizers
	@scripts/setup test && scripts/build asan && scripts/unit asan
tsan: ## unit tests under the thread sanitizer
	@scripts/setup test && scripts/build tsan && scripts/unit tsan
fuzz: ## every fuzz target for a while (FUZZ_SECONDS=30)
	@scripts/setup test && scripts/fuzz
db-migrate: build ## bring the database's schema up to date
	@$(SOUK) migrate up
db-rollback: build ## take the newest migration back (N=2: two; YES=1: without asking)
	@$(SOUK) migrate down $(or $(N),1) $(if $(YES),--yes)
db-seed: build ## fill the shop with samples
	@$(SOUK) seed
db-reset: build ## empty the database (YES=1: without asking)
	@$(SOUK) migrate reset $(if $(YES),--yes)
clean: ## remove what was built; data/ stays
	@rm -rf build/dev build/asan build/tsan build/fuzz build/release build/coverage build/tidy build/log

.PHONY: help run test lambda-test bench scale dev build lambda deploy deploy-infra deploy-code destroy coverage contract check format asan tsan fuzz turbo deb deb-test image-test release \
	db-migrate db-rollback db-seed db-reset clean
