# SPDX-License-Identifier: MIT
#
# For tests of the programs through their command lines.  A test is a function
# that define gave a title, with a bus of its own; run_tests, last, runs them
# and prints TAP.  Arguments choose tests, by the names of their functions.
#
# Nothing runs without a time limit, nothing may be left behind in the bus, and
# only processes started here are ended, by their number.

set -u
source=$(cd "$(dirname "$0")/.." && pwd)
export LC_ALL=C
unset POSIXLY_CORRECT

# The programs: in $TORC_CLIENTS, in PATH, or built in the source tree.
clients=${TORC_CLIENTS:-$(dirname "$(command -v torc-pub ||
	echo "$source/clients/torc-pub")")}
clients=$(cd "$clients" && pwd) || exit 99
PATH=$clients:$PATH
tmp=$(mktemp -d "${TORC_TEST_TMP:-/dev/shm}/torc-test.XXXXXX") || exit 99
pids=()
failed=0

clean_up() {
	# A child that a signal hits before it becomes a program is not us.
	[ "$BASHPID" = $$ ] || return
	for pid in "${pids[@]:-}"; do
		[ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null
	done
	rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

# ---- Tools ------------------------------------------------------------------

# run STATUS PROGRAM...: it must end with that status, within $limit seconds, 30 if
# that is not set; output in out and err.
run() {
	local want=$1 status
	shift
	timeout -k 5 "${limit-30}" "$@" >out 2>err
	status=$?
	[ "$status" = "$want" ] && return
	echo "# $*: status $status, not $want"
	sed 's/^/#   /' err | head -5
	return 1
}

# start PROGRAM...: in the background; its number is in $pid.  The caller
# redirects.
start() {
	exec 5>&- 6>&- 7>&- 8>&- 9>&-
	exec "$@"
}

started() {
	pid=$!
	pids+=("$pid")
}

# finish PID STATUS: it must end with that status, within half a minute.
finish() {
	local i status
	for ((i = 0; i < 1500; i++)); do
		kill -0 "$1" 2>/dev/null || break
		sleep 0.02
	done
	if kill -0 "$1" 2>/dev/null; then
		echo "# process $1 does not end"
		kill -KILL "$1"
	fi
	wait "$1" 2>/dev/null
	status=$?
	# Its number may be another's from now on.
	for i in "${!pids[@]}"; do
		[ "${pids[i]}" = "$1" ] && unset "pids[i]"
	done
	[ "$status" = "$2" ] && return
	echo "# process $1: status $status, not $2"
	return 1
}

# until_true COMMAND: poll, at most 20 seconds.
until_true() {
	local i
	for ((i = 0; i < 1000; i++)); do
		eval "$1" && return
		sleep 0.02
	done
	echo "# never true: $1"
	return 1
}

# handles PID: it is one of the programs by now, and has a handler for SIGTERM.
handles() {
	until_true "((0x\$(awk '\$1 == \"Name:\" { torc = \$2 ~ /^torc-/ }
		\$1 == \"SigCgt:\" { print torc ? \$2 : 0 }' \
		/proc/$1/status) >> 14 & 1))"
}

says() {	# says FILE TEXT
	grep -qF -- "$2" "$1" && return
	echo "# $1 does not say: $2"
	sed 's/^/#   /' "$1" | head -5
	return 1
}

same() {	# same FILE FILE
	cmp -s "$1" "$2" && return
	echo "# $1 and $2 differ:"
	cmp "$1" "$2" 2>&1 | sed 's/^/#   /'
	return 1
}

# has_subs TOPIC N: so many subscribers take part.
has_subs() {
	[ "$(torc-stat --json --interval=0 "$1" 2>/dev/null |
		grep -o '"state"' | wc -l)" = "$2" ]
}

# keep TOPIC [OPTION...]: a publisher that stays, fed through fd 9.
keep() {
	rm -f feed
	mkfifo feed
	start torc-pub "$@" <feed >keep.out 2>keep.err &
	started
	keeper=$pid
	exec 9>feed
	until_true "torc-stat --interval=0 --json '$1' 2>/dev/null |
		grep -q '\"publishers\":\[{'"
}

let_go() {
	exec 9>&-
	finish "$keeper" 0
}

# stop_sub [OPTION...]: a subscriber of t that is stopped, and a keeper.
stop_sub() {
	keep t --capacity=64K --many
	start torc-sub --eof --stats "$@" t >got 2>sub.err &
	started
	sub=$pid
	until_true 'has_subs t 1' && kill -STOP "$sub"
}

# on_terminal TEXT COMMAND...: on a terminal of 6 lines until it has shown that, then
# interrupted; what it wrote there is in typed.
on_terminal() {
	local text=$1
	shift
	rm -f number typed
	start script -qec "stty rows 6 cols 79; echo \$\$ >number; exec $*" /dev/null \
		>typed 2>script.err </dev/null &
	started
	until_true 'grep -qsF -- "$text" typed' || return
	kill -INT "$(cat number)"
	finish $pid 0
}

number() {	# number WORD FILE: the number before the word
	sed -n "s/.*[ :]\([0-9][0-9]*\) $1.*/\1/p" "$2" | tail -1
}

tests=()
declare -A titles
define() {	# define FUNCTION TITLE
	tests+=("$1")
	titles[$1]=$2
}

# ---- Running ----------------------------------------------------------------

# run_test NUMBER FUNCTION
run_test() {
	local status pid

	skip=
	pids=()
	mkdir "$tmp/$1"
	cd "$tmp/$1" || exit 99
	export TORC_DIR=$tmp/$1/bus
	mkdir -m 700 "$TORC_DIR"
	"$2" >diagnosis
	status=$?
	exec 5>&- 6>&- 7>&- 8>&- 9>&-
	if [ $status = 0 ] && [ -n "$(ls -A "$TORC_DIR")" ]; then
		status=1
		echo "# left in the bus: $(ls -A "$TORC_DIR" | tr '\n' ' ')" \
			>>diagnosis
	fi
	for pid in "${pids[@]:-}"; do
		[ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null
		[ -n "$pid" ] && wait "$pid" 2>/dev/null
	done
	pids=()
	if [ $status = 0 ]; then
		echo "ok $1 - ${titles[$2]}${skip:+ # SKIP $skip}"
	else
		failed=1
		echo "not ok $1 - ${titles[$2]}"
		cat diagnosis
	fi
	cd "$tmp" || exit 99
	rm -rf "${tmp:?}/$1"
}

run_tests() {
	local i

	[ $# = 0 ] || tests=("$@")
	echo "1..${#tests[@]}"
	for ((i = 0; i < ${#tests[@]}; i++)); do
		run_test $((i + 1)) "${tests[i]}"
	done
	exit $failed
}
