#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Goal: the programs work on the driver's topics as on any other.

topic=dev:programs
number=0
export TORC_DIR=${TORC_DIR:-/tmp/bus}
mkdir -p "$TORC_DIR"
# The progress that they show on a terminal.
exec 2>/tmp/programs.err

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

publishes() {
	echo hello | torc-pub --persistent $topic &&
		[ -c /dev/torc/programs ] &&
		[ "$(torc-sub --from=oldest -n 1 $topic)" = hello ]
}

follows() {
	torc-sub -n 1 --timeout=20s $topic >/tmp/followed &
	sleep 1
	echo later | torc-pub $topic
	wait
	[ "$(cat /tmp/followed)" = later ]
}

tells() {
	torc-stat --interval=0 --json $topic | grep -q '"mapping":"dev"'
}

removes() {
	torc-rm $topic && [ ! -e /dev/torc/programs ]
}

check "torc-pub makes a topic, and torc-sub reads it" publishes
check "torc-sub waits for what torc-pub publishes" follows
check "torc-stat tells of it" tells
check "torc-rm removes it" removes
echo "1..$number"
