# Rows of the table of a virtual machine: lines that begin with `VM| `.

row() { printf '\nVM| %-58s %s %s\n' "$1" "$2" "${3:-}"; }
# row NAME COMMAND...: passes if the command does; its last line is the remark.
check() {
	local name=$1 said
	shift
	if said=$("$@" 2>&1); then
		row "$name" "  ok  " "$(tail -n 1 <<<"$said")"
	else
		row "$name" "FAILED" "$(tr '\n' ';' <<<"$said" | tail -c 400)"
	fi
}
as() { runuser -u "$1" -- "${@:2}"; }
until_true() {
	for _ in $(seq 600); do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.1
	done
	echo "it never happened: $*"
	return 1
}
