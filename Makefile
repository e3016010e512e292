# make demo    the main job: a camera, a jail, pictures and a report; needs no hardware and no root
# make test    everything that CI tests
# The other targets are explained in CONTRIBUTING.md.

CARGO   ?= cargo
DESTDIR ?=
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
TARGET  := $(or $(CARGO_TARGET_DIR),target)
BUILD   ?= release
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml)

# make demo SCENE=../shared/data/flea3-colorchecker OUT=/tmp/pictures FRAMES=240 MODULE=open
# make demo CHAOS=1 kills workers and daemon meanwhile.
SCENE   ?=
OUT     ?= $(TARGET)/demo-output
FRAMES  ?=
MODULE  ?=
CHAOS   ?=
# Of make chaos.
FAULTS  ?= 1000

BENCH   ?=

PROGRAMS := -p coldshoed -p coldshoe-worker -p coldshoectl -p coldshoe-ipa-open -p coldshoe-capi
STAGE    := $(TARGET)/demo

.PHONY: demo test chaos hostile bench loom miri fuzz check build install install-capi clean

demo: build
	@echo "==> Installing into $(STAGE)"
	@$(MAKE) --no-print-directory install DESTDIR= PREFIX=$(STAGE) >/dev/null
	@echo "==> Running the demo; pictures and report go to $(OUT)"
	@$(STAGE)/bin/coldshoectl demo --out "$(OUT)" $(if $(SCENE),--scene "$(SCENE)") \
		$(if $(FRAMES),--frames "$(FRAMES)") $(if $(MODULE),--module "$(MODULE)") \
		$(if $(CHAOS),--chaos)

test:
	@echo "==> Building everything (debug)"
	$(CARGO) build --locked --workspace --all-targets
	@echo "==> Testing"
	$(CARGO) test --locked --workspace

# At a camera's pace: about twelve minutes for a thousand faults, a quarter as many without a standby.
chaos:
	@echo "==> $(FAULTS) faults in a stream that does not stop (release)"
	$(CARGO) build --locked --release -p coldshoed -p coldshoe-worker
	COLDSHOE_FAULTS=$(FAULTS) $(CARGO) test --locked --release -p coldshoe-tests --test chaos -- \
		--nocapture --test-threads 1

# As root it runs everything again as an unprivileged user.
hostile:
	@echo "==> Every row of the escape list, each with its control (debug)"
	$(CARGO) build --locked -p coldshoed -p coldshoe-worker
	$(CARGO) build --locked -p coldshoe-hostile --bins --examples
	$(CARGO) run --locked -q -p coldshoe-hostile
	@echo "==> A hostile module for each refusal of a contract, with what it put into shared memory"
	$(CARGO) test --locked -q -p coldshoe-tests --test contract -- --nocapture refusals
	@echo "==> The same escape list (release)"
	$(CARGO) build --locked --release -p coldshoed -p coldshoe-worker
	$(CARGO) build --locked --release -p coldshoe-hostile --bins --examples
	$(CARGO) run --locked --release -q -p coldshoe-hostile

# make bench BENCH=--quick shows in seconds that everything works; BENCH=--help says what else.
bench:
	@echo "==> Measuring (release); ratios are against baselines of the same run"
	$(CARGO) build --locked --release --workspace
	$(CARGO) run --locked --release -q -p coldshoe-bench -- $(BENCH)
	$(CARGO) test --locked --release -q -p coldshoe-wall --test jail -- measure

# Another cfg, and with it another target directory: nothing of the usual build is thrown away.
loom:
	@echo "==> The frame path's orderings under a model checker (release)"
	RUSTFLAGS="--cfg loom" $(CARGO) test --locked --release --target-dir $(TARGET)/loom \
		-p coldshoe-frame --lib loom

miri:
	@if $(CARGO) +nightly miri --version >/dev/null 2>&1; then \
		echo "==> The frame path's copies and records under Miri"; \
		$(CARGO) +nightly miri test --locked -p coldshoe-frame; \
	else \
		echo "==> SKIPPED: Miri is missing, and with it the proof that shared memory is copied without"; \
		echo "    undefined behaviour. Install it: rustup toolchain install nightly --component miri"; \
	fi

# make fuzz SECONDS=60
SECONDS ?= 60

fuzz:
	@tests/fuzz/run $(SECONDS)

check:
	@$(CARGO) deny --version >/dev/null 2>&1 || \
		{ echo "cargo-deny is missing: cargo install --locked cargo-deny"; exit 1; }
	@echo "==> Format"
	$(CARGO) fmt --all --check
	@echo "==> Lints"
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@echo "==> Licences, sources and bans of dependencies"
	$(CARGO) deny --locked --offline check bans licenses sources
	@echo "==> Documentation"
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

build:
	@echo "==> Building (release)"
	$(CARGO) build --locked --release $(PROGRAMS)

install: install-capi
	@test -x $(TARGET)/release/coldshoed || { echo "nothing to install: run make build first"; exit 1; }
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/coldshoe \
		$(DESTDIR)$(PREFIX)/lib/coldshoe/modules $(DESTDIR)$(PREFIX)/include \
		$(DESTDIR)$(PREFIX)/share/coldshoe/tuning/open
	install -m 755 $(TARGET)/release/coldshoectl $(DESTDIR)$(PREFIX)/bin/
	install -m 755 $(TARGET)/release/coldshoed $(TARGET)/release/coldshoe-worker \
		$(DESTDIR)$(PREFIX)/libexec/coldshoe/
	install -m 644 $(TARGET)/release/libcoldshoe_ipa_open.so \
		$(DESTDIR)$(PREFIX)/lib/coldshoe/modules/open.so
	install -m 644 daemon/jailed/open/tuning/*.toml \
		$(DESTDIR)$(PREFIX)/share/coldshoe/tuning/open/
	install -m 644 daemon/jailed/ipa/include/coldshoe_ipa.h $(DESTDIR)$(PREFIX)/include/

# The C library alone.
install-capi:
	@test -f $(TARGET)/$(BUILD)/libcoldshoe_capi.so || { echo "nothing to install: run make build first"; exit 1; }
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(PREFIX)/include
	install -m 755 $(TARGET)/$(BUILD)/libcoldshoe_capi.so $(DESTDIR)$(LIBDIR)/libcoldshoe.so.$(VERSION)
	ln -sf libcoldshoe.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libcoldshoe.so.0
	ln -sf libcoldshoe.so.0 $(DESTDIR)$(LIBDIR)/libcoldshoe.so
	install -m 644 $(TARGET)/$(BUILD)/libcoldshoe_capi.a $(DESTDIR)$(LIBDIR)/libcoldshoe.a
	install -m 644 client/capi/include/coldshoe.h $(DESTDIR)$(PREFIX)/include/
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@VERSION@|$(VERSION)|' \
		client/capi/coldshoe.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/coldshoe.pc

clean:
	$(CARGO) clean
