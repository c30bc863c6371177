# signet: build, test and look after the project. `make help` lists the targets.

GO      ?= go
BIN     := bin
CACHE   := $(CURDIR)/.cache
VERSION ?= 0.1.0-dev
CGO_ENABLED ?= $(shell $(GO) env CGO_ENABLED)
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null)
LDFLAGS := -s -w -X github.com/signet-project/signet/internal/cli.version=$(VERSION) -X github.com/signet-project/signet/internal/cli.commit=$(COMMIT)
EXE     := $(shell $(GO) env GOEXE)
COMMANDS := $(notdir $(wildcard cmd/*))
NESTED  := $(patsubst %/go.mod,%,$(wildcard test/*/go.mod))
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
STATICCHECK := $(CACHE)/bin/staticcheck$(EXE)
FUZZTIME ?= 10s
COUNT ?= 5
BENCHSTAT := v0.0.0-20260908200009-22c9c6c9d4da

.DEFAULT_GOAL := help
.PHONY: help build install demo servers test fips lint cross fuzz bench benchstat coverage coverage-check docs vectors clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build signet and the plugins into bin/; only notation-pkcs11 takes a C compiler
	@mkdir -p $(BIN)
	@for c in $(COMMANDS); do echo "build $$c"; \
	  case $$c in notation-pkcs11) cgo=$(CGO_ENABLED);; *) cgo=0;; esac; \
	  CGO_ENABLED=$$cgo $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/$$c$(EXE) ./cmd/$$c || exit 1; done

install: build ## install signet into the Go binary folder
	$(GO) install -trimpath -ldflags '$(LDFLAGS)' ./cmd/signet

demo: build ## sign, verify, tamper and see it refused: no server, no account
	@$(GO) run ./internal/tools/demo -bin $(BIN)

servers: ## fetch the servers that tests talk to into .cache
	@test/servers/provision.sh || [ "$$CI" != true ]

test: servers ## run every test; with CI=true a skipped test fails
	@mkdir -p $(CACHE)
	$(GO) run ./internal/tools/runtests -events $(CACHE)/events.json . $(NESTED)

fips: servers ## run the tests of the product in FIPS 140-3 mode
	GODEBUG=fips140=on $(GO) run ./internal/tools/runtests .

coverage: ## write spec/requirements-coverage.md from the last test run
	$(GO) run ./internal/tools/coverage -events $(CACHE)/events.json -rows spec/requirements.tsv -out spec/requirements-coverage.md

coverage-check: ## fail when the last test run covers less than spec/requirements-coverage.md says
	$(GO) run ./internal/tools/coverage -check -events $(CACHE)/events.json -rows spec/requirements.tsv -out spec/requirements-coverage.md

docs: ## write docs/cli and docs/man from the help texts; a test compares them
	$(GO) run ./internal/tools/docs

vectors: ## write the test vectors in spec/vectors
	$(GO) run ./internal/tools/vectors

lint: $(STATICCHECK) ## check format, vet and staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "not gofmt-ed:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(STATICCHECK) ./...
	@for m in $(NESTED); do echo "vet $$m"; $(GO) -C $$m vet ./... || exit 1; done

$(STATICCHECK):
	GOBIN=$(CACHE)/bin $(GO) install honnef.co/go/tools/cmd/staticcheck@v0.8.2

cross: ## build and vet for every platform
	@for p in $(PLATFORMS); do echo "build and vet $$p"; \
	  CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build ./... || exit 1; \
	  CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) vet ./... || exit 1; done

fuzz: ## run each fuzz target for FUZZTIME (10s)
	@$(GO) run ./internal/tools/fuzzall -time $(FUZZTIME)

bench: ## run the benchmarks and write their tables into BENCHMARKS.md; COUNT rounds (5)
	$(GO) run ./internal/tools/bench -count $(COUNT) -keep $(CACHE)/bench.txt -out BENCHMARKS.md
	@echo "figures as benchstat has them: make benchstat"

benchstat: ## the last benchmarks' figures with their spread, contenders side by side
	$(GO) run golang.org/x/perf/cmd/benchstat@$(BENCHSTAT) -col /by $(CACHE)/bench.txt

clean: ## remove what was built
	rm -rf $(BIN)
