# Lectern. `make run` puts a classroom on its feet on this machine; `make test` proves that it works.
# Needs go 1.26, node 20, npm and a C compiler; .ci/run installs whatever else a new Debian machine lacks.

SHELL := /bin/bash
export GOFLAGS := $(GOFLAGS) -tags=goolm
export CGO_ENABLED := 1
WEB := $(shell find web -path web/node_modules -prune -o -path web/dist -prune -o -path web/e2e -prune -o -path web/test -prune -o -type f -print 2>/dev/null)

.PHONY: all build run web test race lint fmt bench e2e fuzz load crash faults sim outage lesson-budget rogue authority call-load synapse clean need modules
all: build

build: need web                   ## bin/lectern, front end embedded
	go build -trimpath -ldflags "-X main.version=$$(git describe --always --dirty 2>/dev/null || echo dev)" -o bin/lectern .

run: build                        ## homeserver, demo people, encrypted room, Lectern; ends with the URL to open. ARGS="--data DIR …"
	@exec bin/lectern dev $(ARGS)

web: web/dist/.vite/manifest.json ## the front end, into web/dist
web/dist/.vite/manifest.json: $(WEB) | need modules
	npm --prefix web run --silent build
	@touch $@

modules: | need                   ## npm packages, only when package-lock.json changed
	@cmp -s web/package-lock.json web/node_modules/.installed || { npm --prefix web ci --no-audit --no-fund && cp web/package-lock.json web/node_modules/.installed; }

test: build modules               ## everything that must hold before a commit, in under 10 minutes
	.ci/test

race: need                        ## Go tests under the race detector, in random order
	go test -race -shuffle=on -timeout 30m ./...

lint: need modules                ## formatting, vet, staticcheck, tsc, eslint
	.ci/lint

fmt: need                         ## write Go files as gofumpt wants them
	go tool gofumpt -w $$(git ls-files --cached --others --exclude-standard '*.go')

bench: need                       ## Go benchmarks, then a few minutes of every mode of lectern-load
	go test -run '^$$' -bench . -benchmem ./...
	go build -o bin/lectern-load ./server/lectern-load && bin/lectern-load short

e2e: build modules                ## all browser tests; ONLY="smoke …" for some
	.ci/e2e $(ONLY)

fuzz: need                        ## every fuzz target, FUZZTIME each (60s)
	.ci/fuzz

load: need                        ## measure a board server beside two relays. ARGS="-shapes 1x50@5 …", or another mode: ARGS="storm -clients 500"
	go build -o bin/lectern-load ./server/lectern-load && bin/lectern-load $(if $(ARGS),$(if $(filter -%,$(firstword $(ARGS))),load )$(ARGS),load)

crash: need                       ## kill -9 in the middle of editing, squashing, saving and starting, 20 times. ARGS="-rounds 200"
	go build -o bin/lectern-load ./server/lectern-load && bin/lectern-load crash $(ARGS)

sim: need                         ## the long form of the simulation: SEEDS=0-10000
	LECTERN_SIM_SEEDS=$(or $(SEEDS),0-10000) go test -timeout 3h ./server/sim

outage: need                      ## stop a real homeserver for 10 minutes while people draw
	go test -timeout 30m -count 1 -v -run 'TestOutage$$' ./server/app -outage 10m

authority: need                   ## kick, ban, demote, promote, lock, 20 times each, while 50 people draw
	go test -timeout 10m -count 1 -v -run 'TestAuthority$$' ./server/app -decisions 20

synapse:                          ## unpack Synapse from Debian sid for tests (1 to 2 minutes, as root), and print its folder
	@.ci/synapse

call-load: need                   ## one publisher and 50 who listen, through a real LiveKit: join times, tokens, processor time; stale memberships
	go test -timeout 10m -count 1 -v -run 'TestCallLoad$$|TestCallStaleMemberships$$' ./server/app -callload 50 -callstale

rogue: need                       ## what a modified client can do: the table of docs/security.md
	go test -timeout 10m -count 1 -v -run 'TestModifiedClient$$' ./server/app

lesson-budget: need               ## what 45 minutes of drawing put into the room; takes 45 minutes
	go test -timeout 60m -count 1 -v -run TestLessonBudget ./server/app -lesson 45m

faults: need                      ## every write and sync of the store fails once, hundreds of power cuts on a disk that forgets; many minutes
	LECTERN_TEST_FULL=1 go test -timeout 60m -v -run 'TestFailing|TestForgetful|TestDamage|TestOrder' ./server/store

clean:                            ## what was built; demo data and npm packages stay
	rm -rf bin web/dist/.vite web/dist/*

need:
	@.ci/need
