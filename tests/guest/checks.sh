# SPDX-License-Identifier: MIT
# What the tests that are scripts have in common: TAP, and a reader in the
# background.  Whoever runs them sees to it that no waiting is endless.

folder=/dev/torc
number=0

check() {	# check TITLE COMMAND...
	title=$1
	shift
	number=$((number + 1))
	if "$@"; then
		echo "ok $number - $title"
	else
		echo "not ok $number - $title"
	fi
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

# Read NODE's messages, from the oldest on, into /tmp/read.
reader_start() {	# reader_start NODE
	: >/tmp/read
	cat "$1" >/tmp/read &
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
	[ "$(cat /tmp/read)" = "$(printf '%s\n' "$@")" ]
}
