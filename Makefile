# make help lists the targets.

GO      ?= go
VERSION := $(shell cat VERSION)
LDFLAGS := -s -w -X main.version=$(VERSION)
PREFIX  ?= /usr/local
SEEDS   ?= 2000
CYCLES  ?= 150
DRILLS  ?= 10
KILLS   ?= 2000
MUTANTS ?= all
FROM    ?= 0
OF      ?= 1
ENGINES ?= raft paxos
ENGINE  ?= raft

FUZZ    ?= 30s
LEDGER  ?= docs/ledger/chaos.ndjson
CHAOS    = $(GO) test ./internal/chaos -chaos -v -count=1 -timeout=6h

.PHONY: help build image cluster-up cluster-down lab-up lab-down lab-check lab-full install test short race race-short fuzz mutants sim bench-paxos bench-coordination bench-tasks soak chaos chaos-short hostile chaos-tasks memory lint clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: ## bin/node, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/node ./cmd/node

image: build ## synod:latest, the binary alone in a container's image; needs Docker and no registry
	tools/cluster.sh image

cluster-up: image ## three control nodes and three agents in containers, with certificates of their own; DOCKER=yes: for Docker tasks
	tools/cluster.sh up

cluster-down: ## ends these containers and keeps their data; with KEEP=no removes it
	KEEP=$(or $(KEEP),yes) tools/cluster.sh down

# Agents keep the port of the notebook for the role of its proxy.
LAB = DOCKER=yes SYNOD_AGENT='cpus:4;mem:2048;ports(lab):[8888-8888]'
lab-up: image ## the five containers of examples/container-cluster on that cluster, with a notebook at port 8888
	$(LAB) tools/cluster.sh up
	examples/container-cluster/lab.sh image
	examples/container-cluster/lab.sh up

lab-down: ## ends them and the cluster, and removes their data
	examples/container-cluster/lab.sh down
	$(LAB) KEEP=no tools/cluster.sh down

lab-check: ## a lab of its own: used, killed, cut off and paused, with all times measured; some minutes
	$(GO) test ./examples/container-cluster -run 'TestLab$$' -count=1 -v -timeout=30m

lab-full: ## the same in short for the image with Debian, OpenSSH and Jupyter; needs root, mmdebstrap and some minutes
	$(GO) test ./examples/container-cluster -run 'TestFullLab$$' -full -count=1 -v -timeout=30m

cluster-chaos: ## CYCLES faults, or small: each once, of these containers, tasks' containers and a Docker engine of their own; needs root
	$(CHAOS) -run 'TestContainers$$' $(if $(filter small,$(CYCLES)),-cycles=17,-cycles=$(CYCLES) -ledger=$(abspath $(LEDGER)))

install: build ## as PREFIX/bin/synod: node is often Node.js
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 0755 bin/node $(DESTDIR)$(PREFIX)/bin/synod

test: ## the tests of the README
	$(GO) test -timeout 20m ./...

short: ## without the clusters of several processes
	$(GO) test -short ./...

race: ## with the race detector
	$(GO) test -timeout 20m -race -short ./...

# Cores have no goroutines, and the simulators run them one at a time.
PURE = consensus|paxos|paxos/.*|multipaxos|multipaxos/.*|raft|raft/.*|replica|coordination|mesos|jobs|jobs/jobfile|internal/sim|internal/sim/.*|internal/explore
race-short: ## with the race detector, but for packages without goroutines
	$(GO) test -timeout 20m -race -short $$($(GO) list ./... | grep -vE '^github.com/synod-go/synod/($(PURE))$$')

fuzz: ## every fuzz target for FUZZ each, or every OF-th of them, from FROM on
	@n=$(FROM); $(GO) list -f '{{.ImportPath}} {{.Dir}}' ./... | while read pkg dir; do \
	  for target in $$(grep -rhoE '^func Fuzz[A-Za-z0-9]+' $$dir/*_test.go 2>/dev/null | sed 's/func //'); do \
	    n=$$((n + 1)); [ $$((n % $(OF))) = 0 ] || continue; \
	    echo "== $$pkg $$target"; tools/fuzz.sh $$pkg $$target $(FUZZ) || exit 1; \
	  done; done

sim: ## SEEDS simulated clusters of either engine, 10^8 steps each by default, a fifth as many of real actors
	$(GO) test ./internal/sim -run 'TestCampaign|TestRunsAreDeterministic' -count=1 -v -seeds=$(SEEDS) -steps=50000 -timeout=60m
	$(GO) test ./internal/sim -run 'TestPaxosCampaign|TestPaxosRunsAreDeterministic' -count=1 -v -seeds=$(SEEDS) -steps=50000 -timeout=60m
	$(GO) test ./internal/sim -run 'TestBothEngines' -count=1 -v -seeds=$$(($(SEEDS) / 5)) -timeout=60m
	$(GO) test ./internal/sim -run 'TestTree|TestPaxosTree' -count=1 -v -seeds=$$(($(SEEDS) / 8)) -steps=20000 -timeout=60m
	$(GO) test ./internal/sim -run 'TestActor' -count=1 -v -seeds=$$(($(SEEDS) / 5)) -steps=10000 -timeout=60m

sim-tasks: ## about 50 kills in each of SEEDS worlds, at every step of a task's launch, and every planted bug
	$(GO) test ./mesos -run 'TestKillsAtEveryStepOfALaunch' -count=1 -v -launch.seeds=$(SEEDS) -timeout=60m
	$(GO) test ./mesos -run 'TestLaunchMutants' -launch.mutants=all -count=1 -v -timeout=60m

mutants: ## planted bugs, all or MUTANTS of them, which the exhaustive check must find, or the simulators within 60 s each
	$(GO) test ./paxos -run 'TestMutants$$' -count=1 -v
	$(GO) test ./internal/sim -run 'TestMutants$$' -mutants=$(MUTANTS) -seed=$(FROM) -count=1 -v -timeout=60m

chaos-short: ## real processes, both engines: CYCLES kills in all, a fifth as many power cuts and network cuts, locks
	set -e; for engine in $(ENGINES); do \
	  $(CHAOS) -engine=$$engine -run 'TestKill$$' -cycles=$$(($(CYCLES) / 2)); \
	  $(CHAOS) -engine=$$engine -run 'TestPower$$|TestNetwork$$' -cycles=$$(($(CYCLES) / 10)); \
	  $(CHAOS) -engine=$$engine -run 'TestIO$$' -cycles=$$(($(CYCLES) / 20)); \
	  $(CHAOS) -engine=$$engine -run 'BadInput|Forged|DoesNoHarm|CureWorks|StaysOut' -skip 'TestABackup|TestASurvivor|TestARolling'; \
	  $(CHAOS) -engine=$$engine -run 'TestFailover$$' -cycles=$(DRILLS); \
	  $(CHAOS) -engine=$$engine -run 'TestLocks$$|TestElections$$' -cycles=5 -life=5; \
	  $(CHAOS) -engine=$$engine -run 'TestMemoryWithAStoppedFollower|TestRestartWithALongLog'; \
	done
	$(CHAOS) -run 'TestABackup|TestASurvivor|TestARolling'
	$(CHAOS) -engine=paxos -run 'TestPartialPartition$$' -cycles=4
	$(CHAOS) -engine=paxos -roles -run 'TestKill$$' -cycles=14 -life=14
	$(CHAOS) -engine=paxos -run 'TestLongPause$$' -cycles=1
	$(CHAOS) -run 'TestSessionInput$$|TestLockCommands|AreRefused|IsRefused$$|StayOut|NeedsPermission|FullDisk|AreBounded|HealsSoon|TestMemoryOver|TestMemoryUnder|LargeSnapshot'
	$(CHAOS) -run 'TestTasks$$' -kills=200
	$(CHAOS) -run 'Befalls|Strangers|IsDeadBefore'

chaos-tasks: ## KILLS of masters, agents, shims and schedulers while tasks keep ledgers; 2,000 take half an hour
	$(CHAOS) -run 'TestTasks$$' -kills=$(KILLS) -ledger=$(abspath $(LEDGER))

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

hostile: ## noise and almost valid input on all ports of a cluster and its agent, without and with TLS, MINUTES (5) each; needs root
	$(GO) test ./api -run 'Silent|Stranger|DeepJSON|EveryRouteIsFor' -count=1 -v
	$(CHAOS) -run 'TestBadInputOnEveryPort|TestAFloodKeepsNobodyWaiting' -minutes=$(or $(MINUTES),5)

memory: ## memory, disk and restarts at full size: 1,000,000 writes, 4,000 clients, 1 GiB; ten minutes, 6 GiB of disk
	$(CHAOS) -engine=$(ENGINE) -run 'TestMemory|TestRestartWith' -writes=1000000 -clients=4000 -minutes=0.5 -logmib=4096 -gib=1

bench-coordination: build ## the coordination service beside ZooKeeper, of which Debian's package must be there; nine minutes
	cd bench && $(GO) build -o ../bin/bench .
	cd bench && ../bin/bench coordination -json results/coordination.json

bench-tasks: build ## launches, kills of masters and agents, 10,000 simulated agents, beside their goals; half an hour
	cd bench && $(GO) build -o ../bin/bench .
	cd bench && mkdir -p results && ../bin/bench tasks -json results/tasks.json

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
