# What the virtual machines of tests/vm have in common. Software emulation, no KVM. Needs root; what is
# downloaded stays in target/vm.

vm=${CARGO_TARGET_DIR:-target}/vm
mkdir -p "$vm"

say() { printf '==> %s\n' "$1"; }

[ "$(id -u)" = 0 ] || { echo "make vm makes a root file system: run it as root" >&2; exit 1; }
need=()
command -v qemu-system-x86_64 >/dev/null || need+=(qemu-system-x86)
command -v mmdebstrap >/dev/null || need+=(mmdebstrap)
command -v cpio >/dev/null || need+=(cpio)
if [ "${#need[@]}" -gt 0 ]; then
	say "Installing ${need[*]}"
	apt-get update -q
	# A newer qemu-utils, from elsewhere, may be in the way.
	known=$(apt-cache policy qemu-system-x86 | sed -n 's/^ *Candidate: //p')
	[[ " ${need[*]} " != *" qemu-system-x86 "* ]] || ! dpkg -s qemu-utils >/dev/null 2>&1 ||
		need+=("qemu-utils=$known")
	apt-get install -qy --no-install-recommends --allow-downgrades "${need[@]}"
fi

# debian SUITE TARGET PACKAGES: a root file system, a tar or a directory.
debian() {
	local log=$vm/mmdebstrap-$1.log
	# A suite that is not released yet has a file whose date may have passed.
	mmdebstrap --variant=minbase --include="$3" --aptopt='Acquire::Check-Valid-Until "false"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/i18n/*' \
		"$1" "$2" >"$log" 2>&1 || { tail -n 20 "$log" >&2; exit 1; }
}

# unpack TAR: into $root, which goes with this script.
unpack() {
	root=$(mktemp -d "$vm/root.XXXXXX")
	trap 'rm -rf "$root"' EXIT
	tar -xf "$1" -C "$root"
}

# furnish PACKAGES INSIDE: coldshoe's packages, a user of the cameras and one who is not, and what is to
# be run.
furnish() {
	mkdir "$root/packages"
	cp "$1"/*.deb "$root/packages/"
	chroot "$root" sh -c \
		'apt-get install -qy --no-install-recommends -o Dpkg::Use-Pty=0 /packages/*.deb' \
		>"$vm/install.log" 2>&1 || { tail -n 30 "$vm/install.log" >&2; exit 1; }
	install -m 755 "$2" "$root/usr/local/bin/coldshoe-vm-tests"
	install -m 644 tests/vm/rows.sh "$root/usr/local/lib/"
	install -m 644 tests/vm/coldshoe-vm-tests.service "$root/etc/systemd/system/"
	{
		chroot "$root" systemctl enable -q coldshoe-vm-tests.service
		# A login there would hang up on what is run.
		chroot "$root" systemctl mask -q serial-getty@ttyS0.service
		chroot "$root" systemctl set-default -q multi-user.target
	} >>"$vm/install.log" 2>&1 || { tail -n 30 "$vm/install.log" >&2; exit 1; }
	chroot "$root" useradd -m -G video ada
	chroot "$root" useradd -m bob
	rm -rf "$root"/packages "$root"/var/cache/apt "$root"/var/lib/apt/lists
	ln -sf usr/lib/systemd/systemd "$root/init"
}

# boot NAME KERNEL: prints the table, and fails if it has a row that did, or no end.
boot() {
	local initrd=$vm/$1.initrd console=$vm/$1.console table=$vm/$1.table
	cp "$2" "$vm/$1.vmlinuz"
	rm -rf "$root"/boot/*
	(cd "$root" && find . -print0 | cpio --null --quiet -o -H newc) >"$initrd"
	say "Booting it"
	timeout --foreground 1500 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m 4096 -smp 2 \
		-nographic -no-reboot -nic none -kernel "$vm/$1.vmlinuz" -initrd "$initrd" \
		-append "console=ttyS0 panic=-1 quiet systemd.show_status=0" </dev/null >"$console" 2>&1 ||
		echo "the machine did not end well" >>"$console"
	tr -d '\r' <"$console" | sed -n 's/^.*VM| //p' >"$table"
	cat "$table"
	if ! grep -q '^all of it$' "$table"; then
		echo "it did not get to its end; the console: $console" >&2
		return 1
	fi
	! grep -q ' FAILED ' "$table"
}
