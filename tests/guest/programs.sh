#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Goal: the programs work on the driver's topics as on any other.

. "${0%/*}/checks.sh"

topic=dev:programs
# The progress that they show on a terminal.
exec 2>"$scratch/errors"

publishes() {
	echo hello | torc-pub --persistent $topic &&
		[ -c $folder/programs ] &&
		[ "$(torc-sub --from=oldest -n 1 $topic)" = hello ]
}

has_subscriber() {
	torc-stat --interval=0 $topic | grep -q ' sub slot '
}

follows() {
	torc-sub -n 1 $topic >"$scratch/followed" &
	await has_subscriber
	echo later | torc-pub $topic
	wait
	[ "$(cat "$scratch/followed")" = later ]
}

tells() {
	torc-stat --interval=0 --json $topic | grep -q '"mapping":"dev"'
}

removes() {
	torc-rm $topic && [ ! -e $folder/programs ]
}

check "torc-pub makes a topic, and torc-sub reads it" publishes
check "torc-sub waits for what torc-pub publishes" follows
check "torc-stat tells of it" tells
check "torc-rm removes it" removes
checked
