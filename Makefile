# make help lists the targets.

GO      ?= go
VERSION := $(shell cat VERSION)
LDFLAGS := -s -w -X main.version=$(VERSION)
PREFIX  ?= /usr/local
SEEDS   ?= 2000
CYCLES  ?= 150
ENGINES ?= raft paxos
ENGINE  ?= raft

FUZZ    ?= 30s
LEDGER  ?= docs/ledger/chaos.ndjson
CHAOS    = $(GO) test ./internal/chaos -chaos -v -count=1 -timeout=6h

.PHONY: help build install test short race fuzz mutants sim bench-paxos bench-coordination soak chaos chaos-short memory lint clean

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
	$(GO) test ./internal/sim -run 'TestTree|TestPaxosTree' -count=1 -v -seeds=$$(($(SEEDS) / 8)) -steps=20000 -timeout=60m
	$(GO) test ./internal/sim -run 'TestActor' -count=1 -v -seeds=$$(($(SEEDS) / 5)) -steps=10000 -timeout=60m

mutants: ## every planted bug, which the exhaustive check must find, or the simulators within 60 s each
	$(GO) test ./paxos -run 'TestMutants$$' -count=1 -v
	$(GO) test ./internal/sim -run 'TestMutants$$' -mutants=all -count=1 -v -timeout=60m

chaos-short: ## real processes, both engines: CYCLES kills in all, a fifth as many power cuts and network cuts, locks
	set -e; for engine in $(ENGINES); do \
	  $(CHAOS) -engine=$$engine -run 'TestKill$$' -cycles=$$(($(CYCLES) / 2)); \
	  $(CHAOS) -engine=$$engine -run 'TestPower$$|TestNetwork$$' -cycles=$$(($(CYCLES) / 10)); \
	  $(CHAOS) -engine=$$engine -run 'TestIO$$' -cycles=$$(($(CYCLES) / 20)); \
	  $(CHAOS) -engine=$$engine -run 'BadInput|Forged|DoesNoHarm|CureWorks|StaysOut'; \
	  $(CHAOS) -engine=$$engine -run 'TestFailover$$' -cycles=10; \
	  $(CHAOS) -engine=$$engine -run 'TestLocks$$|TestElections$$' -cycles=5 -life=5; \
	  $(CHAOS) -engine=$$engine -run 'TestMemoryWithAStoppedFollower|TestRestartWithALongLog'; \
	done
	$(CHAOS) -engine=paxos -run 'TestPartialPartition$$' -cycles=4
	$(CHAOS) -engine=paxos -roles -run 'TestKill$$' -cycles=14 -life=14
	$(CHAOS) -engine=paxos -run 'TestLongPause$$' -cycles=1
	$(CHAOS) -run 'TestSessionInput$$|TestLockCommands|AreRefused|IsRefused$$|StayOut|NeedsPermission|FullDisk|AreBounded|HealsSoon|TestMemoryOver|TestMemoryUnder|LargeSnapshot'

chaos: ## what a release needs, on each engine: 2,500 kills, 1,000 power cuts; the ledger keeps the totals
	set -e; for engine in $(ENGINES); do \
	  $(CHAOS) -engine=$$engine -run 'TestKill$$' -cycles=2500 -ledger=$(abspath $(LEDGER)); \
	  $(CHAOS) -engine=$$engine -run 'TestPower$$' -cycles=1000 -ledger=$(abspath $(LEDGER)); \
	  $(CHAOS) -engine=$$engine -run 'TestNetwork$$|TestIO$$' -cycles=400 -ledger=$(abspath $(LEDGER)); \
	  $(CHAOS) -engine=$$engine -run 'TestPartialPartition$$' -cycles=200 -ledger=$(abspath $(LEDGER)); \
	  $(CHAOS) -engine=$$engine -run 'TestFailover$$' -cycles=100 -ledger=$(abspath $(LEDGER)); \
	  $(CHAOS) -engine=$$engine -run 'TestLongPause$$' -cycles=20 -ledger=$(abspath $(LEDGER)); \
	  $(CHAOS) -engine=$$engine -run 'TestLocks$$|TestElections$$' -cycles=200 -ledger=$(abspath $(LEDGER)); \
	  $(CHAOS) -engine=$$engine -run 'TestSessionInput$$'; \
	  $(CHAOS) -engine=$$engine -run 'TestBadInputOnEveryPort|Forged' -minutes=5; \
	  $(MAKE) memory ENGINE=$$engine; \
	done
	$(CHAOS) -engine=paxos -roles -run 'TestKill$$' -cycles=1000 -ledger=$(abspath $(LEDGER))
	$(CHAOS) -engine=paxos -roles -run 'TestPower$$|TestNetwork$$' -cycles=200 -ledger=$(abspath $(LEDGER))

memory: ## memory, disk and restarts at full size: 1,000,000 writes, 4,000 clients, 1 GiB; ten minutes, 6 GiB of disk
	$(CHAOS) -engine=$(ENGINE) -run 'TestMemory|TestRestartWith' -writes=1000000 -clients=4000 -minutes=0.5 -logmib=4096 -gib=1

bench-coordination: build ## the coordination service beside ZooKeeper, of which Debian's package must be there; nine minutes
	cd bench && $(GO) build -o ../bin/bench .
	cd bench && ../bin/bench coordination -json results/coordination.json

bench-paxos: ## the Paxos engine beside our Raft, in turn: rates, CPU, fail-over, catch-up, membership changes; six minutes
	cd bench && $(GO) build -o ../bin/bench .
	bin/bench run -engines synod,synod-paxos -clients 1,16,64,256,1024 -value 128,1024 -reads "" -rounds 3 -warm 300ms -time 1s
	bin/bench run -engines synod,synod-paxos -clients 16,256 -writes=false -reads linearizable,lease -value 128 -rounds 3 -warm 300ms -time 1s
	bin/bench failover -engines synod,synod-paxos -drills 3
	bin/bench catchup -engines synod,synod-paxos -rounds 1
	bin/bench changes -engines synod,synod-paxos -rounds 1

soak: ## kills for two hours on the same clusters of one ENGINE
	$(CHAOS) -engine=$(ENGINE) -run 'TestKill$$' -cycles=100000 -life=100000 -minutes=120 -ledger=$(abspath $(LEDGER))

lint: ## vet and staticcheck
	$(GO) vet ./...
	$(GO) tool -modfile=tools/go.mod staticcheck ./...

clean: ## what build made
	rm -rf bin
