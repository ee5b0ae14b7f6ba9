#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Goal: torc-bench measures the driver's topics, and the way to a driver and back,
# where they are there, and says what is missing where they are not.
# Method: one round, short of what would be worth reading in an emulator; the
# program itself fails if a message is lost or garbled.  That takes seconds, or on a
# machine that is busy with other things, and lets one emulated processor poll while
# the other stands still, hours: there it is left out.

. "${0%/*}/checks.sh"

out=$scratch/out

seconds() {
	cut -d . -f 1 /proc/uptime
}

# What is begun in time is given up by torc-bench before guest/run takes us to hang.
until=$(($(seconds) + 50))

tell_output() {
	sed 's/^/# /' $out
	# Two processes, and nothing of the driver's.
	! grep -q ': limit, .*: not done' $out || return $skipped
	return 1
}

# measures MODE SYSTEM: and gives a figure.
measures() {
	if [ "$(seconds)" -gt $until ]; then
		echo "# the machine is too busy to measure $1 of $2"
		return $skipped
	fi
	torc-bench "$1" --systems "$2" --rounds 1 --size 8 --json \
		>$out 2>&1 </dev/null &&
		grep -q "\"system\":\"$2\".*\"ratio_to_limit\":[0-9]" $out ||
		tell_output
}

every_mode() {
	for mode in rtt throughput fanout mpsc wake; do
		measures $mode dev || return
	done
	[ "$(ls $folder)" = "$before" ]
}

# missing SYSTEM WHAT: it fails, and says how to mend it.
missing() {
	! torc-bench rtt --systems "$1" --rounds 1 >$out 2>&1 </dev/null &&
		grep -q "$1: .*modprobe $2)" $out || tell_output
}

without_driver() {
	rmmod torc
	missing dev torc
	status=$?
	insmod "$TORC_MODULES/torc.ko" && [ $status = 0 ]
}

round_trips() {
	insmod "$TORC_MODULES/torc_echo.ko" || return
	measures rtt echo
	status=$?
	rmmod torc_echo && return $status
}

check "without the driver it is told to be missing" without_driver
check "without torc_echo that is told to be missing" missing echo torc_echo
before=$(ls $folder)
check "each mode is measured on the driver's topics" every_mode
check "the way to a driver and back is measured" round_trips
checked
