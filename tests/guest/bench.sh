#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Goal: torc-bench measures the driver's topics, and the way to a driver and back,
# where they are there, and says what is missing where they are not.
# Method: one round, short of what would be worth reading in an emulator; the
# program itself fails if a message is lost or garbled.

. "${0%/*}/checks.sh"

out=/tmp/bench.out
export TORC_DIR=${TORC_DIR:-/tmp/bus}
mkdir -p "$TORC_DIR"

tell_output() {
	sed 's/^/# /' $out
	return 1
}

# measures MODE SYSTEM: and gives a figure.
measures() {
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
	rmmod torc_echo && [ $status = 0 ]
}

check "without the driver it is told to be missing" without_driver
check "without torc_echo that is told to be missing" missing echo torc_echo
before=$(ls $folder)
check "each mode is measured on the driver's topics" every_mode
check "the way to a driver and back is measured" round_trips
checked
