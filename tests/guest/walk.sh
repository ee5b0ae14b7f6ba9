#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Goal: the driver that docs/driver.md teaches to write, which was built from that
# page, does what the page says.

. "${0%/*}/checks.sh"

node=$folder/load

load() {
	insmod "$TORC_MODULES/beat.ko" && [ "$(stat -c %a $node)" = 644 ]
}

# Two lines, each such as 0.07.
loads() {
	"$@" >"$scratch/loads" &&
		[ "$(grep -cx '[0-9]*\.[0-9][0-9]' "$scratch/loads")" = 2 ]
}

through_mapping() {
	# Each message ends a line itself.
	torc-sub -n 2 dev:load 2>/dev/null | grep . >"$scratch/mapped" &&
		loads cat "$scratch/mapped"
}

unloads_while_read() {
	exec 7<$node
	rmmod beat && [ ! -e $node ] && loads head -n 2 <&7 && exec 7<&-
}

check "it builds and loads, and its topic is for everybody" load
check "cat prints the load" loads head -n 2 $node
check "torc-sub prints it" through_mapping
check "it unloads while it is read; the messages stay" unloads_while_read
checked
