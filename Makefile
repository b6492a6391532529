# make help lists the targets.

GO      ?= go
VERSION := $(shell cat VERSION)
LDFLAGS := -s -w -X main.version=$(VERSION)
PREFIX  ?= /usr/local
SEEDS   ?= 2000
CYCLES  ?= 150

FUZZ    ?= 30s
LEDGER  ?= docs/ledger/chaos.ndjson
CHAOS    = $(GO) test ./internal/chaos -chaos -v -count=1 -timeout=6h

.PHONY: help build install test short race fuzz mutants sim soak chaos chaos-short memory lint clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: ## bin/node, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/node ./cmd/node

install: build ## as PREFIX/bin/synod: node is often Node.js
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 0755 bin/node $(DESTDIR)$(PREFIX)/bin/synod

test: ## the tests of the README
	$(GO) test ./...

short: ## without the clusters of several processes
	$(GO) test -short ./...

race: ## with the race detector
	$(GO) test -race -short ./...

fuzz: ## every fuzz target for FUZZ each
	@$(GO) list -f '{{.ImportPath}} {{.Dir}}' ./... | while read pkg dir; do \
	  for target in $$(grep -rhoE '^func Fuzz[A-Za-z0-9]+' $$dir/*_test.go 2>/dev/null | sed 's/func //'); do \
	    echo "== $$pkg $$target"; $(GO) test $$pkg -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZ) || exit 1; \
	  done; done

sim: ## SEEDS simulated clusters of either engine, 10^8 steps each by default, a fifth as many of real actors
	$(GO) test ./internal/sim -run 'TestCampaign|TestRunsAreDeterministic' -count=1 -v -seeds=$(SEEDS) -steps=50000 -timeout=60m
	$(GO) test ./internal/sim -run 'TestPaxosCampaign|TestPaxosRunsAreDeterministic' -count=1 -v -seeds=$(SEEDS) -steps=50000 -timeout=60m
	$(GO) test ./internal/sim -run 'TestBothEngines' -count=1 -v -seeds=$$(($(SEEDS) / 5)) -timeout=60m
	$(GO) test ./internal/sim -run 'TestActor' -count=1 -v -seeds=$$(($(SEEDS) / 5)) -steps=10000 -timeout=60m

mutants: ## every planted bug, which the exhaustive check must find, or the simulators within 60 s each
	$(GO) test ./paxos -run 'TestMutants$$' -count=1 -v
	$(GO) test ./internal/sim -run 'TestMutants$$' -mutants=all -count=1 -v -timeout=60m

chaos-short: ## real processes: CYCLES kills, a fifth as many power cuts and network cuts
	$(CHAOS) -run 'TestKill$$' -cycles=$(CYCLES)
	$(CHAOS) -run 'TestPower$$|TestNetwork$$' -cycles=$$(($(CYCLES) / 5))
	$(CHAOS) -run 'TestIO$$|Refused|StaysOut|StayOut|BadInput|DoesNoHarm|NeedsPermission|FullDisk|AreBounded' -cycles=$$(($(CYCLES) / 10))
	$(CHAOS) -run 'TestFailover$$' -cycles=20
	$(CHAOS) -run 'TestLongPause$$' -cycles=1
	$(CHAOS) -run 'TestMemory|TestRestartWith'

chaos: ## what a release needs: 2,500 kills, 1,000 power cuts; the ledger keeps the totals
	$(CHAOS) -run 'TestKill$$' -cycles=2500 -ledger=$(abspath $(LEDGER))
	$(CHAOS) -run 'TestPower$$' -cycles=1000 -ledger=$(abspath $(LEDGER))
	$(CHAOS) -run 'TestNetwork$$|TestIO$$' -cycles=400 -ledger=$(abspath $(LEDGER))
	$(CHAOS) -run 'TestFailover$$' -cycles=100 -ledger=$(abspath $(LEDGER))
	$(CHAOS) -run 'TestLongPause$$' -cycles=20 -ledger=$(abspath $(LEDGER))
	$(CHAOS) -run 'TestBadInputOnEveryPort' -minutes=5
	$(MAKE) memory

memory: ## memory, disk and restarts at full size: 1,000,000 writes, 4,000 clients, 1 GiB; ten minutes, 6 GiB of disk
	$(CHAOS) -run 'TestMemory|TestRestartWith' -writes=1000000 -clients=4000 -minutes=0.5 -logmib=4096 -gib=1

soak: ## kills for two hours on the same clusters
	$(CHAOS) -run 'TestKill$$' -cycles=100000 -life=100000 -minutes=120 -ledger=$(abspath $(LEDGER))

lint: ## vet and staticcheck
	$(GO) vet ./...
	$(GO) tool -modfile=tools/go.mod staticcheck ./...

clean: ## what build made
	rm -rf bin
