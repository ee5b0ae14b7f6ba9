# SPDX-License-Identifier: MIT
# What the tests that are scripts have in common: TAP, and a reader in the
# background.  Whoever runs them sees to it that no waiting is endless.

folder=/dev/torc
number=0
scratch=$(mktemp -d) || exit
trap 'rm -rf "$scratch"' EXIT
export TORC_DIR=$scratch/bus
mkdir "$TORC_DIR"

# The status of what cannot be told here.
skipped=77

check() {	# check TITLE COMMAND...
	title=$1
	shift
	number=$((number + 1))
	"$@"
	case $? in
	0) echo "ok $number - $title" ;;
	$skipped) echo "ok $number - $title # SKIP" ;;
	*) echo "not ok $number - $title" ;;
	esac
}

checked() {
	echo "1..$number"
}

# await COMMAND...: until it succeeds.
await() {
	until "$@"; do
		sleep 0.1
	done
}

# Read NODE's messages, from the oldest on, into $scratch/read.
reader_start() {	# reader_start NODE
	: >"$scratch/read"
	cat "$1" >"$scratch/read" &
	reader=$!
}

reader_sleeps() {
	[ "$(cut -d ' ' -f 3 /proc/$reader/stat)" = S ]
}

reader_end() {
	kill $reader
	wait $reader 2>/dev/null
	:
}

# Were these lines, and no others, read?
was_read() {	# was_read LINE...
	[ "$(cat "$scratch/read")" = "$(printf '%s\n' "$@")" ]
}
