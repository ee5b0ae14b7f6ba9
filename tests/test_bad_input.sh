#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Goal: on bad input the programs say what is wrong, end with the right status,
# and leave nothing behind.
# Method: programs.sh.

. "$(dirname "$0")/programs.sh"

# ---- Bad input --------------------------------------------------------------

define names "names that no topic can have are refused, with status 2"
names() {
	local name long
	long=$(head -c 128 /dev/zero | tr '\0' n)
	for name in .. a/../b '' . .hidden a/.b / /a a/ a//b 'a b' 'a:b' $'a\nb' \
		'ä' "$long" shm: shm:.. nowhere:x; do
		run 2 torc-pub -m x "$name" && [ -s err ] &&
			run 2 torc-sub "$name" && run 2 torc-rm "$name" || return
	done
	run 0 torc-pub -m x "${long%n}" && run 0 torc-pub -m x A-z_0.9/b
}

define bus_directory "a bus that is not there, no directory, or unsafe is refused"
bus_directory() {
	mkdir open && chmod 777 open
	: >file
	run 1 torc-pub --bus=no/where -m x t && says err "no/where" &&
		run 1 torc-sub --bus=no/where t &&
		run 1 torc-stat --bus=no/where && run 1 torc-rm --bus=no/where t &&
		run 1 torc-pub --bus=file -m x t && says err "file" &&
		run 1 torc-pub --bus=open -m x t && says err "chmod" &&
		run 0 torc-pub --bus=new -m x t && [ -d new ]
}

define unwritable "a bus that may not be written is told"
unwritable() {
	mkdir -m 555 closed
	if [ "$(id -u)" = 0 ]; then
		command -v setpriv >/dev/null || { skip="no setpriv"; return 0; }
		chown 65534 closed
		chmod 755 "$tmp" .
		run 1 setpriv --reuid=65534 --clear-groups \
			"$clients/torc-pub" --bus="$PWD/closed" -m x t
		# The programs may lie where that user cannot go.
		[ -s err ] && ! grep -q closed err && skip="cannot be run by others"
		[ -n "$skip" ] && return 0
		says err "Permission denied"
	else
		run 1 torc-pub --bus=closed -m x t && says err "Permission denied"
	fi
}

define no_space "a full file system is an error at creation, and leaves nothing"
no_space() {
	unshare -m true 2>/dev/null || { skip="may not mount"; return 0; }
	mkdir small
	unshare -m sh -c 'mount -t tmpfs -o size=1m none small || exit 77
		mkdir -m 700 small/bus
		timeout 20 torc-pub --bus=small/bus --capacity=4M -m x t 2>err
		echo $? >status
		ls -A small/bus >left
		timeout 20 torc-pub --bus=small/bus --capacity=64K -m x t'
	local status=$?
	[ $status = 77 ] && { skip="may not mount"; return 0; }
	[ $status = 0 ] && [ "$(cat status)" = 1 ] && [ ! -s left ] &&
		says err "t: " && says err "No space left"
}

define capacity "capacity: zero, not a power of two, too large"
capacity() {
	run 2 torc-pub --capacity=0 -m x t &&
		run 0 torc-pub --capacity=100000 -m x t &&
		says err "rounded up to 131072" &&
		run 0 torc-pub --capacity=1 -m x t &&
		says err "rounded up to 4096" &&
		run 0 torc-pub --capacity=128K -m x t && [ ! -s err ] || return
	run 1 torc-pub --capacity=512G -m x t && says err "t: " || return
	run 1 torc-pub --capacity=100T -m x t && says err "t: " || return
	[ -z "$(ls -A "$TORC_DIR")" ] || return
	keep t
	run 1 torc-pub --capacity=4M -m x t
	let_go
}

define another_kind "a topic that is not what was asked for: told without the library's words"
another_kind() {
	local long

	long=$(printf 'x%.0s' {1..128})
	keep t
	run 1 torc-pub --many -m x t && says err "made for one publisher" &&
		! grep TORC_ err || return
	let_go
	run 2 torc-pub --type="$long" -m x t && says err "at most 127" &&
		! grep TORC_ err
}

define missing "a topic that is not there: told, and what can be done about it"
missing() {
	run 1 torc-sub nowhere &&
		says err "(a publisher creates it; --wait waits for one)" &&
		run 1 torc-sub "file:no(1)" &&
		says err "file:no(1): no such topic in directory . (a" &&
		run 1 torc-sub sysv:/no/where &&
		says err "that is there; --wait waits for one" && ! grep ')' err
}

define as_it_is "a topic that is there stays as it is, and what was asked for is told"
as_it_is() {
	keep t --many --subscribers=7
	run 0 torc-pub --capacity=4M -m x t &&
		says err "capacity is 1048576, not 4194304" &&
		run 0 torc-pub --subscribers=9 -m x t &&
		says err "takes 7 subscribers, not 9" &&
		run 2 torc-pub --subscribers=1025 -m x t &&
		says err "not from 1 to 1024" &&
		run 0 torc-pub --persistent -m x t && says err "not persistent" &&
		run 0 torc-pub --capacity=1M --subscribers=7 -m x t &&
		[ ! -s err ] && let_go
}

define message_max "a message that is too long is told, with the limit"
message_max() {
	run 1 torc-pub --capacity=64K --size=1M --count=1 t &&
		says err "t: " && says err "--capacity=8M" || return
	head -c 1M /dev/zero >file
	run 1 torc-pub --capacity=64K -f file t && says err "1048576 bytes" &&
		says err "at most 163" &&
		run 1 torc-pub --capacity=64K -f - t < <(cat file) &&
		run 1 torc-pub --capacity=64K -m "$(seq 10000)" t &&
		says err "48893 bytes"
}

define long_line "a 10 MB line: too long is told with its number, else it goes through"
long_line() {
	{
		echo first
		head -c 10000000 /dev/zero | tr '\0' y
		printf '\nlast\n'
	} >in
	run 1 torc-pub --persistent t <in && says err "t: line 2 is longer" &&
		says err "--capacity" && run 0 torc-sub --from=oldest --eof t &&
		[ "$(cat out)" = first ] && run 0 torc-rm t || return
	start torc-sub --wait --eof t >got 2>sub.err &
	started
	run 0 torc-pub --wait-for=1 --capacity=64M t <in && finish $pid 0 &&
		same in got || return
	for how in --hex --json --lossy; do
		start torc-sub --wait --eof $how t >got 2>sub.err &
		started
		run 0 torc-pub --wait-for=1 --capacity=64M t <in &&
			finish $pid 0 && [ "$(wc -l <got)" = 3 ] || return
	done
}

define two_publishers "a second publisher is refused, and told who is the first"
two_publishers() {
	keep t
	run 1 torc-pub -m x t && says err "t: " && says err "$keeper" &&
		let_go && run 0 torc-pub -m x t
}

define slots "more subscribers than slots are refused; lossy ones do without"
slots() {
	keep t --subscribers=1
	start torc-sub --eof t >got 2>sub.err &
	started
	until_true 'has_subs t 1' || return
	run 1 torc-sub t && says err "t: " && says err "slot" &&
		run 124 torc-sub --lossy --timeout=10ms t &&
		run 1 torc-pub --wait-for=2 -m x t
	let_go && finish $pid 0 && run 1 torc-pub --subscribers=1 --wait-for=2 \
		-m x t && says err "--wait-for=2"
}

define types "a topic of another type is refused"
types() {
	keep t --type=quotes/2
	run 1 torc-pub --type=trades/1 -m x t && says err "quotes/2" &&
		run 0 torc-stat --json t && says out '"type":"quotes/2"' && let_go
}

define owners "--owner, --group and --cursors-group, by name and number; no such"
owners() {
	run 2 torc-pub --owner=nobody-at-all -m x t && says err "no such user" &&
		run 2 torc-pub --group=4294967295 -m x t &&
		says err "no such group" &&
		run 0 torc-pub --persistent --owner="$(id -un)" \
			--group="$(id -gn)" --cursors-group="$(id -g)" -m x t &&
		[ "$(stat -c %U:%g "$TORC_DIR/t")" = "$(id -un):$(id -g)" ] &&
		run 0 torc-rm t
}

define modes "--mode and --cursors-mode are the files'"
modes() {
	run 0 torc-pub --persistent --mode=0640 --cursors-mode=0660 -m x t &&
		[ "$(stat -c %a "$TORC_DIR/t")" = 640 ] &&
		[ "$(stat -c %a "$TORC_DIR"/.*.cursors)" = 660 ] &&
		run 0 torc-rm t
}

# poke FILE OFFSET BYTES
poke() {
	printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

define files "files on a disk are told as such, and nobody is told to remove them first"
files() {
	echo "dear diary" >diary
	run 1 torc-pub -m x file:no/where && says err "no: cannot open the directory" &&
		run 1 torc-sub file:./none && says err "in directory ." &&
		run 1 torc-stat --dump ./none && says err "in directory ." &&
		run 1 torc-pub -m x file:diary &&
		says err "not a ring; use another name" &&
		[ "$(cat diary)" = "dear diary" ]
}

define escapes "control characters of others' do not reach the terminal"
escapes() {
	keep t --type=$'a\033[2Jb'
	run 1 torc-pub --type=c -m x t && says err 'a?[2Jb' && let_go
}

define no_ring "what is no ring, truncated, or of another ABI is refused"
no_ring() {
	local f=$TORC_DIR/t
	run 0 torc-pub --persistent -m x t && cp "$f" ring || return
	rm -f "$TORC_DIR"/t

	refused() {	# refused TEXT
		run 1 torc-sub --from=oldest -n 1 t && says err "t: " &&
			run 1 torc-pub -m x t && run 1 torc-stat t &&
			says err "$1" || { echo "# $1"; return 1; }
	}
	echo "no ring" >"$f" && refused "t: " || return
	: >"$f" && refused "t: " || return
	head -c 100000 /dev/urandom >"$f" && refused "t: " || return
	rm "$f" && mkdir "$f" && refused "t: " && rmdir "$f" || return
	ln -s /etc/passwd "$f" && refused "t: " && rm "$f" || return
	head -c 10000 ring >"$f" && refused "truncated" || return
	cp ring "$f" && poke "$f" 8 '\077' && refused "version" || return
	cp ring "$f" && poke "$f" 66 '\001' && refused "damaged ring" || return
	cp ring "$f" && poke "$f" 16 '\020' &&
		refused "features 0x10" || return
	cp ring "$f" && echo >>"$f" && refused "wrong size" || return
	run 1 torc-stat && run 0 torc-rm t && [ ! -e "$f" ] &&
		run 0 torc-rm --stale && [ -z "$(ls -A "$TORC_DIR")" ]
}

define foreign "files that cannot be topics are none; what is no ring is told, and stays"
foreign() {
	local name
	for name in "a b" a::b :a a:.b $'a\nb' ä; do
		echo diary >"$TORC_DIR/$name"
	done
	run 0 torc-stat && says err "no topics" && run 0 torc-rm --stale &&
		run 1 torc-rm '*' && run 124 torc-sub --timeout=0 '*' &&
		[ ! -s err ] || return
	set -- "$TORC_DIR"/*
	[ $# = 6 ] || return
	rm "$TORC_DIR"/*
	ln -s /etc/passwd "$TORC_DIR/link" && mkdir "$TORC_DIR/directory"
	for name in link directory; do
		run 1 torc-rm $name && says err "$name: not a ring; it stays" ||
			return
	done
	rm "$TORC_DIR/link" && rmdir "$TORC_DIR/directory"
}

define parts "a topic without its cursors is told by all, not taken for one that went"
parts() {
	run 0 torc-pub --persistent -m x t && rm "$TORC_DIR"/.*.cursors || return
	for p in "torc-sub" "torc-sub --lossy --wait" "torc-pub -m x" "torc-stat"; do
		run 1 $p t && says err "t: its cursors are gone" || return
	done
	run 1 torc-stat && says err "t: its cursors are gone" && run 0 torc-rm t
}

define output "a closed, broken or full standard output is told, with status 1"
output() {
	run 0 torc-pub --persistent --size=100 --count=5000 t || return
	timeout 20 torc-sub --from=oldest --eof t 2>err | head -1 >/dev/null
	[ "${PIPESTATUS[0]}" = 1 ] || return
	says err "torc-sub: standard output: Broken pipe" || return
	timeout 20 torc-sub --from=oldest --eof t >/dev/full 2>err
	[ $? = 1 ] && says err "standard output: No space left" || return
	timeout 20 torc-sub --from=oldest --eof t >&- 2>err
	[ $? = 1 ] && says err "standard output: Bad file" || return
	timeout 20 torc-stat >/dev/full 2>err
	[ $? = 1 ] && says err "standard output: No space left" || return
	for p in torc torc-pub torc-sub torc-stat torc-rm torc-bench; do
		timeout 20 $p --help >/dev/full 2>err
		[ $? = 1 ] && says err "standard output: No space left" ||
			return
	done
	# Told also while nothing is published.
	start torc-sub t > >(exec sleep 0.1) 2>err &
	started
	finish $pid 1 && says err "Broken pipe" && run 0 torc-rm t
}

define input "a standard input that is closed or a directory is told"
input() {
	timeout 20 torc-pub t <&- 2>err
	[ $? = 1 ] && says err "standard input: Bad file" || return
	timeout 20 torc-pub t </ 2>err
	[ $? = 1 ] && says err "standard input: Is a directory"
}

define signals "SIGINT and SIGTERM end the programs with their last counts"
signals() {
	local signal
	for signal in INT TERM; do
		rm -f got
		keep t
		start torc-sub --from=oldest t >got 2>sub.err &
		started
		echo one >&9
		until_true '[ -s got ]' || return
		kill -$signal $pid
		finish $pid 0 && says sub.err "1 messages, 3 bytes, 0 lost" || return
		kill -$signal "$keeper"
		finish "$keeper" 0 && says keep.err "1 messages" || return
		exec 9>&-
	done
	start torc-sub --wait nothing 2>sub.err &
	started
	handles $pid || return
	kill -TERM $pid
	finish $pid 0 || return
	# Also while it waits for room.
	stop_sub || return
	start torc-pub --size=100 --count=50000 t 2>pub.err &
	started
	until_true 'torc-stat --json --interval=0 t |
		grep -q "\"blocked\":[1-9]"' || return
	kill -TERM $pid
	finish $pid 0 && [ "$(number blocked pub.err)" -ge 1 ] ||
		return
	kill -CONT "$sub"
	let_go && finish "$sub" 0
}

define stuck_output "SIGTERM ends a subscriber whose output nobody takes"
stuck_output() {
	run 0 torc-pub --persistent --size=100 --count=5000 t || return
	mkfifo f
	exec 8<>f
	start torc-sub --from=oldest t >f 2>sub.err 8>&- &
	started
	handles $pid || return
	sleep 0.2
	kill -TERM $pid
	finish $pid 0 && says sub.err "not written" || return
	exec 8>&-
	run 0 torc-rm t
}

run_tests "$@"
