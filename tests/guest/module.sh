#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Goal: the module loads, with its parameters, serves cat and echo, and is not to
# be unloaded while anybody has to do with it.

. "${0%/*}/checks.sh"

module=$TORC_MODULES/torc.ko

parameters() {
	rmmod torc && insmod "$module" major=240 max_topics=2 topics=one,two/three &&
		[ "$(ls $folder)" = "$(printf 'control\none\ntwo')" ] &&
		[ -c $folder/two/three ] && ! echo | torc-pub dev:four 2>/dev/null &&
		[ ! -e $folder/four ] &&
		grep -q '^240 torc$' /proc/devices && rmmod torc &&
		[ ! -e $folder ]
}

too_many() {
	! insmod "$module" max_topics=2 topics=a,b,c 2>/dev/null &&
		! insmod "$module" max_topics=0 2>/dev/null &&
		! insmod "$module" topics=../x 2>/dev/null &&
		[ ! -e $folder ] && ! grep -q torc /proc/modules
}

cat_and_echo() {
	insmod "$module" topics=talk || return
	echo hello >$folder/talk && echo again >$folder/talk || return
	reader_start $folder/talk
	await was_read hello again
}

cat_sleeps() {
	await reader_sleeps
	echo late >$folder/talk
	await was_read hello again late
	reader_end
}

not_unloaded_while_open() {
	exec 7<$folder/talk
	! rmmod torc 2>/dev/null && exec 7<&-
}

counters() {
	grep -q '^published 3$' /sys/kernel/debug/torc/talk
}

unloads() {
	rmmod torc && [ ! -e $folder ] && [ ! -e /sys/kernel/debug/torc ]
}

only_root_makes_topics() {
	insmod "$module" && [ "$(stat -c %a:%u $folder/control)" = 600:0 ]
}

check "parameters say number, limit and topics" parameters
check "bad parameters leave nothing behind" too_many
check "cat prints what echo published, the oldest first" cat_and_echo
check "cat waits for more" cat_sleeps
check "counters are told" counters
check "it is not unloaded while a node is open" not_unloaded_while_open
check "it unloads, with its nodes" unloads
check "only root makes topics by default" only_root_makes_topics
checked
