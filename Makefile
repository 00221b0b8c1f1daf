# Targets for users and maintainers; CONTRIBUTING.md says more.
GO   ?= go
N    ?= 2000
SEED ?= 0
T    ?= 60s

FUZZ = \
	./sctpmh/internal/wire:FuzzPacket ./sctpmh/internal/wire:FuzzText \
	./sctpmh/internal/engine:FuzzEndpoint ./sctpmh/internal/engine:FuzzAssoc \
	./tcpemu:FuzzFrame ./tcpemu:FuzzSession ./internal/socks5:FuzzRequest \
	./noid:FuzzHosts ./noid:FuzzResolvConf ./noid:FuzzMessage

.PHONY: build test race demo sim fuzz lint bench bench-failover clean

build:
	$(GO) build -o bin/ ./cmd/...

demo: build
	bin/mh demo $(ARGS)

test:
	$(GO) test ./...

race:
	$(GO) test -race ./...

sim:
	$(GO) test ./sctpmh/internal/engine -run '^TestSim$$' -sim.n=$(N) -sim.seed=$(SEED) -v

fuzz:
	@set -e; for f in $(FUZZ); do \
		echo "== $$f"; $(GO) test $${f%%:*} -run '^$$' -fuzz "^$${f##*:}$$" -fuzztime $(T) -fuzzminimizetime 10x; done

lint:
	@out=$$(gofmt -l .); [ -z "$$out" ] || { echo "gofmt would change:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

bench-failover:
	$(GO) test ./sctpmh/internal/engine -run '^$$' -bench "Failover|FirstPathDead|LossyPath" -benchtime 1x

bench:
	$(GO) test ./... -run '^$$' -bench . -benchmem

clean:
	rm -rf bin
