# The commands of a working day. Each installs what it needs first, or says what is missing.

SEEDS ?= 2000
SWIFT ?= swift

.PHONY: build release reproducible test demo soak lint docs interop bench fuzz sanitize model sbom
.PHONY: clean dependencies engine-docs plots

build: dependencies-build
	$(SWIFT) build -c release

# The programs alone, into .build-release/release; they do not tell the folder they come from.
release: dependencies-build
	contrib/release.sh

# Two releases from different folders have to be equal: twice three minutes or more. Ends with
# `reproducible: ok`.
reproducible: dependencies-build
	contrib/check-reproducible.sh

# Everything: build, unit tests, tidiness, purity, simulation, allocations, interoperability,
# namespaces (as root). Ends with `tests: P passed, F failed, S skipped`.
test: dependencies
	SEEDS=$(SEEDS) contrib/run-tests.sh

# The main job on real traffic. Ends with `demo: ok` only when every hash matched.
demo: dependencies
	Tests/Demo/run.sh

# Simulated histories until stopped, or for MINUTES; SEED=n replays one, loudly.
soak: build
	.build/release/testkit soak $(if $(SEED),--seed $(SEED),--minutes $(or $(MINUTES),600))

lint:
	$(SWIFT) format lint --strict --recursive Sources Tests Package.swift

# The pages that are made of tables in the code; tests fail while they are stale.
docs:
	$(SWIFT) build --product fairlead
	.build/debug/fairlead help config --markdown > docs/CONFIGURATION.md
	.build/debug/fairlead help metrics --markdown > docs/METRICS.md

# What docs/CONGESTION.md shows, drawn from trials in virtual time: a minute in release.
plots: dependencies-build
	$(SWIFT) build -c release --product testkit
	.build/release/testkit plots docs/plots

# The engine's reference and articles, by DocC, into .build/documentation.
engine-docs:
	$(SWIFT) build --target Session
	contrib/build-docs.sh

interop: build
	Tests/Interop/run.sh

# Every interleaving of the protocol's models, and every planted fault. Ends with `model: ok`.
model:
	@contrib/install-dependencies.sh --models
	@contrib/models/run.sh

# What the programs are made of, as CycloneDX JSON in .build. Ends with `sbom: ok`.
sbom: dependencies-build
	@$(SWIFT) package resolve
	@contrib/sbom.py

bench: build
	contrib/bench/loopback.py $(ARGS)

# SECONDS for every target, or for TARGET alone; a crash is kept under Tests/Fuzz/crashes.
fuzz: dependencies-build
	SECONDS_EACH=$(or $(SECONDS),60) TARGET="$(TARGET)" contrib/fuzz.sh

# Unit tests, simulation and kept inputs under AddressSanitizer, threads under ThreadSanitizer. Ends
# with `sanitize: ok`. PARTS="thread" runs one part alone.
sanitize: dependencies-build
	contrib/sanitize.sh $(PARTS)

clean:
	$(SWIFT) package clean
	rm -rf demo-output

.PHONY: dependencies-build
dependencies:
	@contrib/install-dependencies.sh
dependencies-build:
	@contrib/install-dependencies.sh --build-only
