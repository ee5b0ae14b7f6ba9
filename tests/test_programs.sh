#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Goal: the programs do what their manual pages say.
# Method: programs.sh.

. "$(dirname "$0")/programs.sh"

# ---- Options ----------------------------------------------------------------

define helps "help and version go to standard output, with status 0"
helps() {
	local p
	for p in torc torc-pub torc-sub torc-stat torc-rm torc-bench; do
		run 0 $p --help && says out "Usage: $p " &&
			[ ! -s err ] && ! grep -E '.{80}' out || return
		run 0 $p --version && says out "$p (torc) " || return
	done
}

define pages "the man pages have the options of --help, and no others"
pages() {
	local p
	for p in torc-pub torc-sub torc-stat torc-rm torc-bench; do
		run 0 $p --help || return
		sed -En 's/^ +(-., )?(--[a-z-]+).*/\2/p' out | sort >help
		sed -En 's/^\.It (Fl . , )?Fl (-[a-z-]+).*/-\2/p' \
			"$source/docs/man/$p.1" | sort >page
		[ -s help ] && same help page || return
	done
}

# completed WORD...: what bash would make of the last word.
completed() {
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE=$* COMPREPLY=()
	_torc 2>/dev/null
	echo "${COMPREPLY[*]}"
}

define completion "bash completes commands, options, their values and topics"
completion() {
	. "$source/clients/torc.bash"
	keep md/a
	[ "$(completed torc s)" = "sub stat" ] &&
		[ "$(completed torc-pub --cap)" = "--capacity=" ] &&
		[ "$(completed torc sub --los)" = "--lossy" ] &&
		[ "$(completed torc-sub --lossy m)" = "md/a" ] &&
		[ "$(completed torc-rm --bus=/nowhere m)" = "" ] &&
		[ "$(completed torc-bench th)" = "throughput" ] &&
		[ "$(completed torc-pub --full =)" = "wait fail drop evict" ] &&
		[ "$(completed torc sub --from = o)" = "oldest" ] &&
		[ "$(completed torc-pub -f m)" = "" ] &&
		[ "$(completed torc-pub --full = drop m)" = "md/a" ] && let_go
}

define wrong_usage "wrong usage is told, with status 2"
wrong_usage() {
	local p
	for p in torc-pub torc-sub torc-stat torc-rm; do
		run 2 $p --no-such-option && says err "$p: " &&
			says err "Try '$p --help'" || return
	done
	run 2 torc && run 2 torc no-such-command &&
		says err "no such command" && run 2 torc ../x || return
	run 2 torc-pub && run 2 torc-pub a b && run 2 torc-sub && run 2 torc-rm &&
		run 2 torc-pub --size=1 -m x t &&
		run 2 torc-pub --count=1 t &&
		run 2 torc-pub --full=maybe t && says err "--full=maybe" &&
		run 2 torc-pub --full=drop --full-timeout=1s t &&
		run 2 torc-sub --hex --json t && says err "exclude" &&
		run 2 torc-sub --from=tomorrow t && says err "--from=tomorrow" ||
		return
	run 2 torc-pub --mode=0888 t && says err "--mode=0888" &&
		run 2 torc-pub --capacity=12Q t && says err "--capacity=12Q" &&
		run 2 torc-pub --capacity=-1 t &&
		run 2 torc-pub --capacity=99999999999G t && says err "large" &&
		run 2 torc-sub --timeout=soon t && says err "--timeout=soon" &&
		run 2 torc-sub --timeout=-1 t &&
		run 2 torc-sub --count=1x t && says err "--count=1x"
}

define front "torc CMD runs torc-CMD, with its options and status"
front() {
	run 0 torc pub -m hello --persistent t &&
		run 0 torc sub --from=oldest -n 1 t &&
		[ "$(cat out)" = hello ] &&
		run 2 torc pub --capacity=no t && says err "torc-pub: " &&
		run 1 torc rm nothing && run 0 torc rm t
}

# ---- Publishing and receiving -----------------------------------------------

define lines "lines come out byte for byte: empty ones, NUL bytes, no last newline"
lines() {
	printf 'one\n\n\nt\0wo\n\377\376\r\n%s\nlast' \
		"$(head -c 100000 /dev/zero | tr '\0' x)" >in
	start torc-sub --wait --eof t >got 2>sub.err &
	started
	run 0 torc-pub --wait-for=1 --capacity=1M t <in && finish $pid 0 &&
		echo >>in && same in got
}

define many_lines "a file of 200,000 lines reaches two subscribers byte for byte"
many_lines() {
	local a b
	seq -f 'line %.0f of the file, and something to fill it' 200000 >in
	start torc-sub --wait --eof --stats t >got1 2>err1 &
	started
	a=$pid
	start torc-sub --wait --eof t >got2 2>err2 &
	started
	b=$pid
	run 0 torc-pub --wait-for=2 --stats --capacity=64K t <in &&
		finish "$a" 0 && finish "$b" 0 && same in got1 &&
		same in got2 && says err "200000 messages" &&
		says err1 "200000 messages" && says err1 " 0 lost"
}

define empty "an empty input publishes nothing"
empty() {
	start torc-sub --wait --eof --stats t >got 2>sub.err &
	started
	run 0 torc-pub --wait-for=1 --stats t </dev/null &&
		says err "0 messages" && finish $pid 0 && [ ! -s got ] &&
		says sub.err "0 messages"
}

define arrives "a line is published and printed as it arrives"
arrives() {
	keep t
	start torc-sub --from=oldest --eof t >got 2>sub.err &
	started
	printf 'one\ntw' >&9
	until_true '[ "$(cat got)" = one ]' || return
	printf 'o\n' >&9
	until_true '[ "$(tail -1 got)" = two ]' || return
	let_go && finish $pid 0
}

define message "-m and -f publish one message; --hex prints it"
message() {
	printf 'a\nb\0c' >file
	run 0 torc-pub --persistent -m 'hello, world' t &&
		run 0 torc-pub --message= t && run 0 torc-pub --file=file t &&
		run 0 torc-pub -f - t <file &&
		run 0 torc-sub --from=oldest --hex --eof t || return
	printf '%s\n' 68656c6c6f2c20776f726c64 '' 610a620063 610a620063 >want
	same want out && run 1 torc-pub -f nowhere t &&
		says err "nowhere: No such file" && run 0 torc-rm t
}

define framed "--framed carries any bytes, there and back"
framed() {
	printf '\003\0\0\0a\nb\0\0\0\0\001\0\0\0\0\001\0\0\0\n' >in
	start torc-sub --wait --eof --framed --stats t >got 2>sub.err &
	started
	run 0 torc-pub --wait-for=1 --framed t <in && finish $pid 0 &&
		same in got && says sub.err "4 messages"
}

define framed_cut "--framed input that is cut is told; what was whole is published"
framed_cut() {
	printf '\002\0\0\0ab\005\0\0\0abc' >in
	run 1 torc-pub --persistent --framed t <in &&
		says err "in the middle of message 2: 3 of 5 bytes" || return
	printf '\002\0' >in
	run 1 torc-pub --framed t <in &&
		says err "length of message 1: 2 of 4" || return
	printf '\001\0\0\0c\377\377\377\377abc' >in
	run 1 torc-pub --framed t <in &&
		says err "message 2 has 4294967295 bytes" || return
	run 0 torc-sub --from=oldest --eof t && printf 'ab\nc\n' >want &&
		same want out && run 0 torc-rm t
}

define json "--json prints text as text, other bytes as base64"
json() {
	printf '%s\n' 'say "hi" \o/' >in
	printf 'tab\t \303\244 \001\n\377\376x\n\355\240\200\n\n' >>in
	run 0 torc-pub --persistent md/t <in &&
		run 0 torc-sub --json --from=oldest --eof md/t || return
	sed -E 's/"time":"20[0-9-]{8}T[0-9:]{8}\.[0-9]{9}Z"/TIME/
		s/"position":[0-9]+/POSITION/' out >got
	cat >want <<-'END'
	{"topic":"md/t","sequence":0,POSITION,TIME,"publisher":0,"payload":"say \"hi\" \\o/"}
	{"topic":"md/t","sequence":1,POSITION,TIME,"publisher":0,"payload":"tab\t ä \u0001"}
	{"topic":"md/t","sequence":2,POSITION,TIME,"publisher":0,"payload_base64":"//54"}
	{"topic":"md/t","sequence":3,POSITION,TIME,"publisher":0,"payload_base64":"7aCA"}
	{"topic":"md/t","sequence":4,POSITION,TIME,"publisher":0,"payload":""}
	END
	same want got && run 0 torc-rm md/t
}

define generated "made-up messages are as documented"
generated() {
	start torc-sub --wait --eof t >got 2>sub.err &
	started
	run 0 torc-pub --wait-for=1 --size=50 --count=3000 --stats t &&
		says err "3000 messages, 150000 bytes" && finish $pid 0 || return
	awk 'BEGIN { a = "abcdefghijklmnopqrstuvwxyz"; a = a a a }
		{ k = NR - 1
		  if ($0 != sprintf("%020d", k) substr(a, k % 26 + 1, 30)) exit 1 }
		END { if (NR != 3000) exit 1 }' got || return
	start torc-sub --wait --eof t >got 2>sub.err &
	started
	run 0 torc-pub --wait-for=1 --size=2 --count=12 t &&
		finish $pid 0 && [ "$(tr -d '\n' <got)" = 000102030405060708091011 ]
}

define rate "--rate keeps its pace"
rate() {
	local before after
	before=$(date +%s%N)
	run 0 torc-pub --size=8 --count=51 --rate=100 t || return
	after=$(date +%s%N)
	[ $((after - before)) -ge 490000000 ]
}

define count "-n ends after so many messages, and loses none of the others"
count() {
	seq 100 >in
	run 0 torc-pub --persistent t <in &&
		run 0 torc-sub -n 7 --from=oldest t && seq 7 >want &&
		same want out && run 0 torc-sub -n 0 t && [ ! -s out ] &&
		run 0 torc-rm t
}

define oldest "--from=oldest begins with the oldest message, latest with the next"
oldest() {
	run 0 torc-pub --persistent -m old t || return
	keep t
	start torc-sub --from=oldest --eof t >got1 2>err1 &
	started
	local one=$pid
	start torc-sub --from=latest --eof t >got2 2>err2 &
	started
	until_true 'has_subs t 2' || return
	echo new >&9
	let_go && finish "$one" 0 && finish $pid 0 &&
		[ "$(tr '\n' ' ' <got1)" = "old new " ] &&
		[ "$(cat got2)" = new ] && run 0 torc-rm t
}

define timeout_124 "--timeout ends with 124 when nothing came for so long"
timeout_124() {
	keep t
	echo one >&9
	run 124 torc-sub --from=oldest --timeout=200ms t &&
		[ "$(cat out)" = one ] &&
		run 124 torc-sub --timeout=0.1 --wait nothing &&
		run 124 torc-sub --timeout=1ms 'x*' && let_go
}

define missing "a topic that is not there is told; --wait waits for it"
missing() {
	run 1 torc-sub t &&
		says err "torc-sub: t: no such topic on bus $TORC_DIR" &&
		says err "--wait" || return
	start torc-sub --wait -n 2 t u >got 2>sub.err &
	started
	handles $pid || return
	run 0 torc-pub --wait-for=1 -m a t &&
		run 0 torc-pub --wait-for=1 -m b u &&
		finish $pid 0 && [ "$(sort got | tr -d '\n')" = ab ]
}

define glob "a pattern takes every topic that matches, also later ones"
glob() {
	keep md.a
	start torc-sub --json -n 3 'md*' >got 2>sub.err &
	started
	until_true 'has_subs md.a 1' || return
	echo one >&9
	run 0 torc-pub -m no other &&
		run 0 torc-pub --wait-for=1 -m two md/b/c &&
		run 0 torc-pub --wait-for=1 -m three md.z && finish $pid 0 &&
		let_go || return
	says got '"topic":"md.a"' && says got '"topic":"md/b/c"' &&
		says got '"payload":"three"' && [ "$(wc -l <got)" = 3 ]
}

define again "a topic that is removed and made anew under a pattern is followed"
again() {
	keep md/a
	start torc-sub -n 2 'md/**' >got 2>sub.err &
	started
	until_true 'has_subs md/a 1' || return
	echo one >&9
	until_true 'grep -q one got' && run 0 torc-rm md/a &&
		run 0 torc-pub --wait-for=1 -m two md/a && finish $pid 0 &&
		let_go && [ "$(tr -d '\n' <got)" = onetwo ]
}

define hundreds "hundreds of topics under a pattern, also later ones, are followed"
hundreds() {
	local i
	for ((i = 0; i < 300; i++)); do
		torc-pub --persistent --capacity=4K -m x "md/$i" || return
	done
	start torc-sub --from=oldest -n 302 'md/**' >got 2>sub.err &
	started
	until_true '[ "$(wc -l <got)" = 300 ]' || return
	run 0 torc-pub --wait-for=1 -m y md/7 &&
		run 0 torc-pub --wait-for=1 -m z md/late && finish $pid 0 &&
		[ "$(sort got | uniq -c | tr -d ' \n')" = 300x1y1z ] &&
		run 0 torc-rm 'md/**'
}

define eof "--eof ends when all topics have ended, also by kill -9"
eof() {
	local killed
	mkfifo f
	start torc-pub b <f 2>/dev/null &
	started
	killed=$pid
	exec 8>f
	keep a
	until_true "[ -e '$TORC_DIR/b' ]" || return
	start torc-sub --eof --from=oldest a b >got 2>sub.err &
	started
	echo 1 >&9
	echo 2 >&8
	until_true '[ "$(wc -l <got)" = 2 ]' || return
	kill -KILL "$killed"
	finish "$killed" 137
	exec 8>&-
	sleep 0.2
	kill -0 $pid || return
	echo 3 >&9
	let_go && finish $pid 0 && [ "$(sort got | tr -d '\n')" = 123 ]
}

define publishers "--many takes many publishers; no message is lost"
publishers() {
	local i all=()
	start torc-sub --wait --eof --stats t >got 2>sub.err &
	started
	local sub=$pid
	for i in 1 2 3; do
		mkfifo f$i
		start torc-pub --many --capacity=64K t <f$i 2>err$i &
		started
		all+=("$pid")
	done
	# All are there before the first ends.
	exec 5>f1 6>f2 7>f3
	until_true 'has_subs t 1 && [ "$(torc-stat --json --interval=0 t |
		grep -o dropped | wc -l)" = 3 ]' || return
	seq -f 'a %.0f' 20000 >&5 6>&- 7>&- &
	pids+=($!)
	seq -f 'b %.0f' 20000 >&6 5>&- 7>&- &
	pids+=($!)
	seq -f 'c %.0f' 20000 >&7
	until_true '[ "$(wc -l <got)" = 60000 ]' || return
	exec 5>&- 6>&- 7>&-
	for i in "${all[@]}"; do finish "$i" 0 || return; done
	finish "$sub" 0 || return
	for i in a b c; do
		grep "^$i" got >one && seq -f "$i %.0f" 20000 >want &&
			same want one || return
	done
}

define progress "a terminal's standard error shows the progress, any other nothing"
progress() {
	command -v script >/dev/null || { skip="no script"; return 0; }
	on_terminal "s left" torc-pub --persistent --size=100 --rate=1000 --count=9999 \
		t && grep -Eq '[0-9]+ messages, .*/s, .*B/s, [0-9]+%, [0-9]+ s left' \
		typed || return
	on_terminal "messages, " torc-sub --from=oldest t '>got' &&
		grep -Eq '[1-9][0-9]* messages, .*/s, .*B/s, 0 lost' typed ||
		return
	run 0 torc-pub --size=100 --rate=100 --count=120 t && [ ! -s err ] &&
		run 0 torc-rm t
}

# ---- No room ----------------------------------------------------------------

define stopped "a stopped lossless subscriber makes the publisher wait, and loses nothing"
stopped() {
	local sub pub
	start torc-sub --wait --eof t >got 2>sub.err &
	started
	sub=$pid
	seq 100000 >in
	mkfifo f
	start torc-pub --wait-for=1 --stats --capacity=64K t <f >out 2>err &
	started
	pub=$pid
	exec 8>f
	until_true 'has_subs t 1' || return
	kill -STOP "$sub"
	cat in >&8 9>&- &
	local cat=$!
	pids+=("$cat")
	until_true 'torc-stat --json --interval=0 t |
		grep -q "\"blocked\":[1-9]"' || return
	sleep 0.3
	kill -0 "$pub" || return
	kill -CONT "$sub"
	wait "$cat"
	exec 8>&-
	finish "$pub" 0 && finish "$sub" 0 && same in got &&
		[ "$(number blocked err)" -ge 1 ] && says err "100000 messages"
}

define full_fail "--full=fail and --full-timeout end the publisher, and say for whom"
full_fail() {
	stop_sub || return
	run 1 torc-pub --full=fail --size=100 --count=5000 t &&
		says err "t: no room" && says err "pid $sub" &&
		run 1 torc-pub --full-timeout=50ms -m "$(seq 100)" t &&
		says err "--full-timeout" &&
		run 1 torc-pub --full-timeout=300ms -m "$(seq 100)" t || return
	kill -CONT "$sub"
	let_go && finish "$sub" 0
}

define full_drop "--full=drop drops new messages, and counts them"
full_drop() {
	local dropped
	stop_sub || return
	run 0 torc-pub --full=drop --stats --size=100 --count=5000 t || return
	dropped=$(number dropped err)
	kill -CONT "$sub"
	let_go && finish "$sub" 0 && [ "$dropped" -gt 0 ] &&
		[ "$(($(wc -l <got) + dropped))" = 5000 ] &&
		says err "$((5000 - dropped)) messages," &&
		says err " $(((5000 - dropped) * 100)) bytes,"
}

define full_evict "--full=evict evicts a subscriber, which is told what it lost"
full_evict() {
	stop_sub || return
	run 0 torc-pub --full=evict --full-timeout=10ms --stats --size=100 \
		--count=5000 t && [ "$(number evicted err)" = 1 ] || return
	kill -CONT "$sub"
	finish "$sub" 1 && says sub.err "t: evicted" && let_go
}

define lossy "--lossy holds nobody back, and counts exactly what it lost"
lossy() {
	stop_sub --lossy || return
	run 0 torc-pub --stats --size=100 --count=5000 t &&
		says err " 0 blocked" || return
	kill -CONT "$sub"
	let_go && finish "$sub" 0 || return
	[ "$(number lost sub.err)" -gt 0 ] &&
		[ "$(($(wc -l <got) + $(number lost sub.err)))" = 5000 ] &&
		tail -1 got | grep -q '^00000000000000004999'
}

# ---- Looking and removing ---------------------------------------------------

define repair "torc-stat shows who is stopped or dead, and --repair clears the dead away"
repair() {
	stop_sub || return
	run 0 torc-pub --full=drop --size=100 --count=50 t &&
		run 0 torc-stat t && says out "50 messages" &&
		says out "stopped" && run 0 torc-stat --json --repair t &&
		says out '"stopped":true' && says out '"repaired":0' &&
		says out '"behind":50' || return
	kill -KILL "$sub"
	wait "$sub" 2>/dev/null
	run 0 torc-stat t && says out dead &&
		run 0 torc-stat --repair t && says err "t: cleared away 1 who had died" &&
		! grep -q dead out && let_go &&
		# Too young for torc-rm --stale.
		rm -f "$TORC_DIR"/.*.bell
}

define show "torc-stat shows topics, who takes part, and JSON"
show() {
	run 0 torc-stat && says err "no topics on bus" && [ ! -s out ] || return
	keep md/t --capacity=64K
	start torc-sub --eof md/t >got 2>sub.err &
	started
	until_true 'has_subs md/t 1' || return
	echo x >&9
	until_true '[ -s got ]' || return
	run 0 torc-stat && says out NAME && says out "md/t" && says out 64K &&
		! grep -q "pid" out && [ "$(wc -l <out)" = 2 ] || return
	run 0 torc-stat md/t && [ "$(wc -l <out)" = 4 ] &&
		says out "pid $keeper " && says out "pid $pid " &&
		says out lossless && run 0 torc-stat --verbose &&
		says out "pid" || return
	run 0 torc-stat --json 'm*' && says out '"capacity":65536' &&
		says out '"messages":1,' && says out "\"pid\":$pid," &&
		says out '"state":"lossless"' && says out '"rate":' || return
	if command -v python3 >/dev/null; then
		python3 -c 'import json,sys; json.load(sys.stdin)' <out || return
	fi
	run 1 torc-stat nothing && says err "nothing: no such topic" &&
		run 0 torc-stat 'no*' && let_go && finish $pid 0
}

define long_name "a row is whole however long the name"
long_name() {
	local file=file:$PWD/$(printf 'x%.0s' {1..240})
	run 0 torc-pub -m x "$file" && run 0 torc-stat "$file" &&
		[ "$(wc -l <out)" = 2 ] && says out "$file file " &&
		run 0 torc-rm "$file"
}

define watch "--watch draws what a terminal has room for, and leaves it there"
watch() {
	local i screen watch="torc-stat --watch --interval=20ms"

	command -v script >/dev/null || { skip="no script"; return 0; }
	for i in 1 2 3 4 5 6 7; do
		run 0 torc-pub --persistent --capacity=4K -m x "w/$i" || return
	done
	on_terminal "and 4 more lines" $watch || return
	screen=$(tr -d '\r' <typed)
	screen=${screen##*$'\033[H'}
	[[ $screen == *NAME*w/1*w/3*"4 more lines"* ]] &&
		[ "$(wc -l <<<"$screen")" = 6 ] &&
		on_terminal '"w/7"' $watch --json && ! grep -q $'\033' typed &&
		on_terminal "no topics that match" $watch "'x*'" &&
		run 0 torc-rm 'w/*'
}

define rm_topics "torc-rm removes topics; --stale only those where nobody takes part"
rm_topics() {
	run 0 torc-pub --persistent -m x a && run 0 torc-pub --persistent -m x b/c &&
		run 0 torc-pub --persistent -m x b/d || return
	keep live
	run 1 torc-rm nothing && says err "nothing: no such topic" &&
		run 1 torc-rm 'z*' && says err "no topic" &&
		run 0 torc-rm -v 'b/*' && [ "$(tr '\n' ' ' <out)" = "b/c b/d " ] &&
		run 1 torc-rm --stale live && says err live &&
		run 0 torc-rm --stale --verbose && [ "$(cat out)" = a ] || return
	start torc-sub --eof live >got 2>sub.err &
	started
	until_true 'has_subs live 1' || return
	# Who takes part goes on.
	run 0 torc-rm live && [ ! -e "$TORC_DIR/live" ] || return
	echo still >&9
	let_go && finish $pid 0 && [ "$(cat got)" = still ]
}

define stale "--stale removes what kill -9 left"
stale() {
	keep t
	kill -KILL "$keeper"
	finish "$keeper" 137
	exec 9>&-
	[ -e "$TORC_DIR/t" ] && run 0 torc-rm --stale &&
		[ -z "$(ls -A "$TORC_DIR")" ]
}

run_tests "$@"
