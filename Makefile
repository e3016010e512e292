# make demo    the main job: a camera, a jail, pictures and a report; needs no hardware and no root
# make test    everything that CI tests
# The other targets are explained in CONTRIBUTING.md.

CARGO   ?= cargo
DESTDIR ?=
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
LIBEXEC ?= $(PREFIX)/libexec
# Where the bus looks: for /usr/local, only below /etc.
DBUSDIR ?= $(if $(filter /usr/local,$(PREFIX)),/etc/dbus-1/system.d,$(PREFIX)/share/dbus-1/system.d)
# Where the module goes.
MODULES ?= $(LIBDIR)/coldshoe/modules
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

PROGRAMS := -p coldshoed -p coldshoe-worker -p coldshoectl -p coldshoe-ipa-open -p coldshoe-capi \
	-p coldshoe-libcamera
STAGE    := $(TARGET)/demo
# The interfaces of libcamera's algorithms: its workers are called NAME_ipa_proxy.
IPAS     := ipu3 mali-c55 raspberrypi rkisp1 soft vimc

.PHONY: demo test vm vm-camera chaos hostile bench gates loom miri fuzz check build libcamera install install-capi install-units \
	packages packages-test clean

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

# make gates SEEDS=8; the real data is in DATA, or in ../shared/data.
SEEDS ?= 8
DATA  ?=

gates:
	@echo "==> The open module against its gates (release); the report goes to $(TARGET)/gates"
	$(CARGO) run --locked --release -q -p coldshoe-gates -- --seeds $(SEEDS) --out $(TARGET)/gates \
		$(if $(DATA),--data "$(DATA)")

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

# In units and profiles paths are whole.
FILL := sed -e 's|@PREFIX@|$(abspath $(PREFIX))|' -e 's|@LIBEXEC@|$(abspath $(LIBEXEC))|'

install: install-capi install-units
	@test -x $(TARGET)/release/coldshoed || { echo "nothing to install: run make build first"; exit 1; }
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBEXEC)/coldshoe $(DESTDIR)$(MODULES) \
		$(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/share/coldshoe/tuning/open \
		$(DESTDIR)$(PREFIX)/share/doc/coldshoe
	install -m 755 $(TARGET)/release/coldshoectl $(DESTDIR)$(PREFIX)/bin/
	install -m 755 $(TARGET)/release/coldshoed $(TARGET)/release/coldshoe-worker \
		$(TARGET)/release/coldshoe-libcamera $(DESTDIR)$(LIBEXEC)/coldshoe/
	install -d $(DESTDIR)$(LIBEXEC)/coldshoe/libcamera
	for ipa in $(IPAS); do \
		ln -sf ../coldshoe-libcamera $(DESTDIR)$(LIBEXEC)/coldshoe/libcamera/$${ipa}_ipa_proxy || exit 1; \
	done
	install -m 644 $(TARGET)/release/libcoldshoe_ipa_open.so $(DESTDIR)$(MODULES)/open.so
	install -m 644 daemon/jailed/open/tuning/*.toml \
		$(DESTDIR)$(PREFIX)/share/coldshoe/tuning/open/
	install -m 644 daemon/jailed/ipa/include/coldshoe_ipa.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 README.md SECURITY.md $(DESTDIR)$(PREFIX)/share/doc/coldshoe/
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	$(TARGET)/$(BUILD)/coldshoectl man $(DESTDIR)$(PREFIX)/share/man/man1
	$(TARGET)/$(BUILD)/coldshoectl completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/coldshoectl
	$(TARGET)/$(BUILD)/coldshoectl completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_coldshoectl
	$(TARGET)/$(BUILD)/coldshoectl completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/coldshoectl.fish

# Units, and what else the system reads of a service.
install-units:
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/systemd/user \
		$(DESTDIR)$(PREFIX)/lib/systemd/system-preset $(DESTDIR)$(PREFIX)/lib/systemd/user-preset \
		$(DESTDIR)$(PREFIX)/lib/systemd/catalog $(DESTDIR)$(PREFIX)/lib/sysusers.d \
		$(DESTDIR)$(PREFIX)/lib/tmpfiles.d $(DESTDIR)$(DBUSDIR) \
		$(DESTDIR)$(PREFIX)/share/dbus-1/system-services $(DESTDIR)$(PREFIX)/share/dbus-1/services \
		$(DESTDIR)$(PREFIX)/share/apparmor/extra-profiles
	for manager in system user; do \
		install -m 644 systemd/$$manager/coldshoed.socket $(DESTDIR)$(PREFIX)/lib/systemd/$$manager/ && \
		$(FILL) systemd/$$manager/coldshoed.service.in \
			> $(DESTDIR)$(PREFIX)/lib/systemd/$$manager/coldshoed.service && \
		install -m 644 systemd/$$manager/coldshoe.preset \
			$(DESTDIR)$(PREFIX)/lib/systemd/$$manager-preset/80-coldshoe.preset || exit 1; \
	done
	install -m 644 systemd/coldshoe.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/coldshoe.conf
	install -m 644 systemd/coldshoe.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/coldshoe.conf
	install -m 644 systemd/coldshoe.catalog $(DESTDIR)$(PREFIX)/lib/systemd/catalog/
	install -m 644 policy/dbus/*.conf $(DESTDIR)$(DBUSDIR)/
	install -m 644 policy/dbus/org.coldshoe.Coldshoe1.service \
		$(DESTDIR)$(PREFIX)/share/dbus-1/system-services/
	$(FILL) policy/dbus/org.coldshoe.Coldshoe1.session.service.in \
		> $(DESTDIR)$(PREFIX)/share/dbus-1/services/org.coldshoe.Coldshoe1.service
	$(FILL) policy/apparmor/coldshoed.in > $(DESTDIR)$(PREFIX)/share/apparmor/extra-profiles/coldshoed
	set -e; for file in $(wildcard policy/dbus/*.xml); do \
		install -D -m 644 $$file $(DESTDIR)$(PREFIX)/share/dbus-1/interfaces/$$(basename $$file); done
	set -e; for file in $(wildcard policy/polkit/*.policy); do \
		install -D -m 644 $$file $(DESTDIR)$(PREFIX)/share/polkit-1/actions/$$(basename $$file); done

# Debian packages of what make build built, in target/packages.
TRIPLET := $(shell cc -dumpmachine 2>/dev/null)
DEB     := $(CARGO) deb --quiet --no-build --no-strip --output target/packages/

packages: build
	@$(CARGO) deb --version >/dev/null 2>&1 || \
		{ echo "cargo-deb is missing: cargo install --locked cargo-deb"; exit 1; }
	rm -rf target/packages
	@echo "==> Installing into target/packages/root"
	@$(MAKE) --no-print-directory install DESTDIR=target/packages/root PREFIX=/usr \
		LIBDIR=/usr/lib/$(TRIPLET) >/dev/null
	strip --strip-unneeded target/packages/root/usr/bin/* target/packages/root/usr/libexec/coldshoe/coldshoe* \
		target/packages/root/usr/lib/$(TRIPLET)/*.so.$(VERSION) \
		target/packages/root/usr/lib/$(TRIPLET)/coldshoe/modules/*.so
	strip --strip-debug target/packages/root/usr/lib/$(TRIPLET)/libcoldshoe.a
	chmod 644 target/packages/root/usr/lib/$(TRIPLET)/*.so.$(VERSION)
	gzip -9nf target/packages/root/usr/share/man/man1/*.1
	@printf '%s\n' 'coldshoe ($(VERSION)-1) unstable; urgency=medium' '' \
		'  * See CHANGELOG.md of the sources.' '' \
		" -- The coldshoe developers <maintainers@coldshoe.org>  $$(date -R)" > target/packages/changelog
	$(DEB) -p coldshoed
	$(DEB) -p coldshoe-ipa-open
	$(DEB) -p coldshoe-capi
	$(DEB) -p coldshoe-capi --variant dev
	@# What cargo-deb has no word for: who links the library depends on this package.
	dpkg-deb -R target/packages/libcoldshoe0_*.deb target/packages/libcoldshoe0
	echo 'libcoldshoe 0 libcoldshoe0 (>= $(VERSION))' > target/packages/libcoldshoe0/DEBIAN/shlibs
	dpkg-deb --root-owner-group -b target/packages/libcoldshoe0 target/packages/ >/dev/null
	@ls -l target/packages/*.deb

# In virtual machines, as root: what only a real system can show.
vm: vm-service vm-camera

.PHONY: vm-service
vm-service: packages
	$(CARGO) build --locked -p coldshoe-tests --bin coldshoe-stream
	tests/vm/service target/packages $(TARGET)/debug/coldshoe-stream

# A camera of the kernel's and Debian's libcamera, through coldshoe.
vm-camera: packages
	tests/vm/camera target/packages

# As root, with mmdebstrap, systemd-container and lintian; says so where they are missing.
packages-test: packages
	@tests/packages/run

# SUITES='trixie forky'.
libcamera:
	@tests/libcamera/run

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
