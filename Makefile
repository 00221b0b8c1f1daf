# Targets for users and maintainers; CONTRIBUTING.md says more.
GO   ?= go
N    ?= 2000
SEED ?= 0
T    ?= 60s
RUNS ?= 20
ROUNDS ?= 3
BULK ?= 1073741824

ENGINE = ./sctpmh/internal/engine

FUZZ = \
	./sctpmh/internal/wire:FuzzPacket ./sctpmh/internal/wire:FuzzText \
	./sctpmh/internal/engine:FuzzEndpoint ./sctpmh/internal/engine:FuzzAssoc ./sctpmh/internal/engine:FuzzPair \
	./sctpmh/internal/addrwatch:FuzzMessages ./sctpmh/internal/kernel:FuzzNotification ./sctpmh/internal/udp:FuzzHint \
	./tcpemu:FuzzFrame ./tcpemu:FuzzSession ./tcpemu:FuzzTranscript ./internal/socks5:FuzzRequest ./internal/publish:FuzzKey ./internal/publish:FuzzMarker \
	./internal/ftp:FuzzAnnouncements ./internal/proxy:FuzzSockets \
	./noid/internal/dnssec:FuzzValidate ./noid:FuzzHosts ./noid:FuzzResolvConf ./noid:FuzzUpstream ./noid:FuzzAnswer ./noid:FuzzMessage ./noid:FuzzSVCB ./noid:FuzzText

.PHONY: build test tools race demo sim diff-tcp fuzz lint conformance interop bench bench-failover bench-throughput clean

build:
	$(GO) build -o bin/ ./cmd/...

demo: build
	bin/mh demo $(ARGS)

test: tools
	$(GO) test ./...

race:
	$(GO) test -race ./...

# Coverage is gathered in a directory of the run's own: two runs at once must not
# count for each other.
sim:
	@set -e; d=$$(mktemp -d); trap 'rm -rf "$$d"' EXIT; mkdir -p bin "$$d/data"; \
	$(GO) test $(ENGINE) -run '^TestSim$$' -timeout 60m -sim.n=$(N) -sim.seed=$(SEED) -v -cover -args -test.gocoverdir="$$d/data"; \
	$(GO) test $(ENGINE) -skip '^TestSim$$' -cover -args -test.gocoverdir="$$d/data" >"$$d/log" || { cat "$$d/log"; exit 1; }; \
	$(GO) tool covdata textfmt -i="$$d/data" -o="$$d/profile"; \
	cp "$$d/profile" bin/engine.cover; \
	$(GO) tool cover -func="$$d/profile" | awk 'END { sub("%", "", $$NF); printf "engine coverage: %s %% of statements (goal 90)\n", $$NF; exit $$NF < 90 }'

fuzz:
	@set -e; for f in $(FUZZ); do \
		echo "== $$f"; $(GO) test $${f%%:*} -run '^$$' -fuzz "^$${f##*:}$$" -fuzztime $(T) -fuzzminimizetime 10x; done

conformance:
	$(GO) run ./internal/conformance

# Programs of others that tests run: installed for root on Debian, else it says
# which are missing and what does not run for that.
tools:
	@missing=$$(dpkg-query -W -f '$${Status} $${Package}\n' $$(cat interop/packages.txt) 2>/dev/null | sed -n 's/^install ok installed //p' | sort - interop/packages.txt | uniq -u); \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $$missing; \
	elif [ -n "$$missing" ]; then \
		echo "not installed:" $$missing; \
		echo "Without them FTP tests of internal/e2e, those with name servers (interop/nameservers, internal/publish, noid/internal/dnssec) and make interop do not run."; fi

# Every scenario with every foreign stack, as root; writes interop/results.md,
# which says what did not run for want of a program.
interop: tools
	INTEROP=1 $(GO) test ./interop -run '^TestInterop$$' -count=1 -timeout 30m -interop.bulk=$(BULK) -interop.results=results.md
	INTEROP=1 $(GO) test ./sctpmh/internal/kernel ./sctpmh/internal/difftest ./interop/usrsctp -count=1 -p 1 -timeout 10m
	@sed -n '/^[-|]/p' interop/results.md

# Random calls of two applications over TCP and over ours, compared.
diff-tcp:
	$(GO) test ./tcpemu -run '^TestDiffer' -count=1 -v -timeout 60m -scripts=$(N) -scripts.seed=$(SEED)

lint:
	@out=$$(gofmt -l .); [ -z "$$out" ] || { echo "gofmt would change:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

bench-failover:
	$(GO) test ./sctpmh/internal/engine -run '^$$' -bench "Failover|FirstPathDead|LossyPath" -benchtime 1x
	$(GO) test ./internal/failbench -run '^$$' -bench Failover -benchtime 1x -timeout 60m -failover.runs=$(RUNS)

bench-throughput:
	$(GO) test ./internal/failbench -run '^$$' -bench Throughput -benchtime 1x -timeout 90m -throughput.rounds=$(ROUNDS)

.PHONY: bench-streams
bench-streams:
	$(GO) test ./tcpemu -run '^$$' -bench "IdleStreams|OpenEchoClose|EchoBesideBulk" -benchtime 1x

bench:
	$(GO) test ./... -run '^$$' -bench . -benchmem

clean:
	rm -rf bin
