#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Goal: the sample drivers do what they say: publish from a hard interrupt and from
# tracepoints, and answer.  As drivers do, they hold the module and their topics.

. "${0%/*}/checks.sh"

samples="torc_echo torc_exec torc_tick"

load() {
	for sample in $samples; do
		insmod "$TORC_MODULES/$sample.ko" || return
	done
	! rmmod torc 2>/dev/null
}

# The 32-bit words of $1 messages, a message a line.
ticks() {
	head -c $((16 * $1)) $folder/tick | od -A n -v -t u4
}

ticks_in_turn() {
	ticks 100 | awk 'NR > 1 && $1 != last + 1 { bad++ }
		{ last = $1 }
		END { exit bad || NR != 100 }'
}

ticks_have_a_time() {
	ticks 2 | awk '{ ns[NR] = $3 + $4 * 4294967296 }
		END { exit !(0 < ns[1] && ns[1] < ns[2]) }'
}

life_is_told() {
	for event in start exec exit; do
		grep -Eq "^[0-9]+\.[0-9]{9} $event $pid $$ " "$scratch/read" || return
	done
}

tells_of_processes() {
	sh -c 'exit 0' &
	pid=$!
	wait $pid
	reader_start $folder/exec
	await life_is_told
	reader_end
}

answers() {
	echo one >$folder/echo/request
	echo two >$folder/echo/request
	reader_start $folder/echo/reply
	await was_read one two
	reader_end
}

# Ticks of a processor that torc_echo's listener takes in a second without messages.
ticks_of_rest() {	# ticks_of_rest SPIN_US
	echo "$1" >/sys/module/torc/parameters/listen_spin_us
	stat=$(grep -sl '^torc-echo/r' /proc/[0-9]*/comm | sed 's/comm$/stat/')
	sleep 0.5
	before=$(cut -d ' ' -f 15 $stat)
	sleep 1
	echo $(($(cut -d ' ' -f 15 $stat) - before))
}

# On a machine that is busy one look may tell nothing.
polls_as_long_as_told() {
	[ "$(ticks_of_rest 200000)" -gt $((10 + 2 * $(ticks_of_rest 0))) ]
}

bad_rates() {
	rmmod torc_tick &&
		! insmod "$TORC_MODULES/torc_tick.ko" rate=0 2>/dev/null &&
		! insmod "$TORC_MODULES/torc_tick.ko" size=8 2>/dev/null &&
		[ ! -e $folder/tick ] && insmod "$TORC_MODULES/torc_tick.ko"
}

drops_anything() {
	! grep -q '^dropped 0$' /sys/kernel/debug/torc/process
}

# That which a process alone publishes to, or which is not there, is not for drivers.
not_for_drivers() {
	! insmod "$TORC_MODULES/torc_tick.ko" into=nobodys 2>/dev/null &&
		echo | torc-pub --persistent dev:process 2>/dev/null || return
	rmmod torc_tick && insmod "$TORC_MODULES/torc_tick.ko" into=process ||
		return
	await drops_anything
	grep -q '^published 0$' /sys/kernel/debug/torc/process &&
		rmmod torc_tick && torc-rm dev:process &&
		insmod "$TORC_MODULES/torc_tick.ko"
}

unload() {
	for sample in $samples; do
		rmmod $sample || return
	done
	[ "$(ls $folder)" = control ]
}

check "drivers load, and hold the module" load
check "torc_tick publishes tick after tick" ticks_in_turn
check "its ticks bear the time" ticks_have_a_time
check "torc_exec tells of a process's start, program and end" tells_of_processes
check "torc_echo answers, in turn" answers
check "who listens polls for as long as listen_spin_us says" await polls_as_long_as_told
check "torc_tick refuses rates and sizes that make no sense" bad_rates
check "torc_tick publishes to nothing that is not for drivers" not_for_drivers
check "they unload, with their topics" unload
checked
