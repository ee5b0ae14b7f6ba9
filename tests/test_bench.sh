#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Goal: torc-bench measures every system in every mode, checks every message, and
# says what it measured.  How much that is, is no matter here.
# Method: programs.sh; one round of each mode.

. "$(dirname "$0")/programs.sh"

# Those who poll take long where they have no core of their own.
limit=100

fields="mode system size publishers subscribers rounds p50_ns p99_ns p999_ns max_ns
	msgs_per_s bytes_per_s ratio_to_limit"

# measure MODE SYSTEMS OPTION...: as JSON, in out; a line for each of the systems
# and the limit, with all fields, the time or the rate among them.
measure() {
	local mode=$1 systems=$2 system field
	shift 2
	run 0 torc-bench "$mode" --rounds=1 --systems="$systems" --json "$@" ||
		return
	for system in limit ${systems//,/ }; do
		grep "\"system\":\"$system\"" out >lines && [ -s lines ] ||
			{ echo "# $mode: no $system"; return 1; }
		for field in $fields; do
			grep -vq "\"$field\":" lines &&
				{ echo "# $mode $system: no $field"; return 1; }
		done
	done
	! grep -Ev '"(mean_ns|msgs_per_s|bytes_per_s)":[0-9]*[1-9]' out
}

two_cores() {
	[ "$(nproc)" -gt 1 ] || { skip="one core"; return 1; }
}

define rtt "round trips of every system"
rtt() {
	two_cores || return 0
	measure rtt ck,pipe,unix,mq --size=8 &&
		measure rtt ring,torc,torc-mp --size=8,48 &&
		[ "$(grep -c '"system":"torc",.*"p50_ns":[1-9]' out)" = 2 ]
}

define throughput "streams of every system, singly and in batches"
throughput() {
	two_cores || return 0
	measure throughput ring,torc,torc-mp,ck,pipe,unix,mq --size=48 &&
		measure throughput ring,torc,torc-mp --size=4K --batch=16 &&
		says out '"batch":16'
}

define mpsc "several publishers"
mpsc() {
	two_cores || return 0
	measure mpsc ring,torc-mp,ck --publishers=1,3 &&
		says out '"publishers":3'
}

define fanout "subscribers that read nothing, and count what they lost"
fanout() {
	two_cores || return 0
	measure fanout torc --subscribers=1,63 && says out '"subscribers":63'
}

define wake "subscribers that sleep"
wake() {
	two_cores || return 0
	measure wake torc,torc-fd,eventfd,pipe
}

define table "tables name the machine, the systems and the units"
table() {
	two_cores || return 0
	run 0 torc-bench rtt --rounds=1 --size=8 --systems=ring && [ ! -s err ] &&
		says out "$(uname -r)" && says out "rtt, 8 bytes, 1 round" &&
		says out "mean ns" && grep -q '^ring  *[0-9]' out
}

define plot "--plot hands a picture's data to gnuplot"
plot() {
	two_cores || return 0
	mkdir bin
	printf '#!/bin/sh\ncat >script\n' >bin/gnuplot
	chmod +x bin/gnuplot
	PATH=$PWD/bin:$PATH run 0 torc-bench throughput --rounds=1 --size=8 \
		--systems=torc --plot="it's.svg" &&
		says script "set output 'it''s.svg'" && says script "torc" &&
		grep -Eq '^8 [0-9.e+]+ [0-9.e+]+$' script || return
	PATH=$PWD/bin:$PATH run 0 torc-bench wake --rounds=1 --systems=torc \
		--plot=x.svg && says script "set ylabel 'wake-up, ns'" || return
	command -v gnuplot >/dev/null ||
		{ run 1 torc-bench rtt --plot=x.svg && says err "gnuplot"; }
}

define wrong_usage "wrong usage is told, with status 2; what is not there, with 1"
wrong_usage() {
	run 2 torc-bench && says err "Try 'torc-bench --help'" &&
		run 2 torc-bench sprint && says err "sprint: no such mode" &&
		run 2 torc-bench rtt wake && run 2 torc-bench rtt --size=7 &&
		says err "--size=7" && run 2 torc-bench rtt --systems=tin-can &&
		says err "tin-can: no such system" &&
		run 2 torc-bench rtt --systems=eventfd &&
		run 2 torc-bench rtt --rounds=0 &&
		run 2 torc-bench rtt --publishers=2 &&
		run 2 torc-bench rtt --subscribers=2 &&
		run 2 torc-bench rtt --batch=2 &&
		run 2 torc-bench throughput --size=64K --batch=1024 &&
		run 2 torc-bench rtt --cores=0,0 &&
		run 2 torc-bench rtt --capacity=1 || return
	[ -e /dev/torc/control ] || { run 1 torc-bench rtt --systems=dev &&
		says err "dev: "; }
}

run_tests "$@"
