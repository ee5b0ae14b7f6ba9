#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Goal: the programs take every kind of address, and show what a mapping is.
# Method: programs.sh.

. "$(dirname "$0")/programs.sh"

define addresses "torc-pub, torc-sub, torc-stat and torc-rm take every address"
addresses() {
	local address
	touch key
	for address in t shm:t "posix:/${tmp##*/}-t" "file:$PWD/disk" \
		"sysv:$PWD/key"; do
		run 0 torc-pub --persistent -m hello "$address" &&
			run 0 torc-sub --from=oldest --eof "$address" &&
			[ "$(cat out)" = hello ] &&
			run 0 torc-stat --json "$address" &&
			says out '"messages":1' &&
			run 0 torc-stat --dump "$address" &&
			[ "$(cat out)" = "0 0 hello" ] &&
			run 0 torc-rm "$address" &&
			run 1 torc-stat "$address" || return
	done
}

define through "two programs talk through each mapping"
through() {
	local address
	touch key
	seq 20000 >in
	for address in t "posix:${tmp##*/}-t" "file:$PWD/disk" "sysv:$PWD/key"; do
		start torc-sub --wait --eof "$address" >got 2>sub.err &
		started
		run 0 torc-pub --wait-for=1 --persistent --capacity=64K \
			"$address" <in && finish "$pid" 0 && same in got &&
			run 0 torc-rm "$address" || return
	done
}

define sync "--sync: all policies, and what is none"
sync() {
	local policy
	for policy in none async interval 5ms commit; do
		run 0 torc-pub --sync=$policy --size=8 --count=100 \
			"file:$PWD/$policy" && run 0 torc-rm "file:$PWD/$policy" ||
			return
	done
	run 2 torc-pub --sync=often -m x "file:$PWD/t" && says err often &&
		run 2 torc-pub --sync=commit -m x t && says err file:PATH
}

# dirty PID FILE: KiB of it that the process has written and nobody to the disk.
dirty() {
	awk -v file="$2" '
		/^[0-9a-f]+-/ { ours = index($0, file) }
		ours && /_Dirty:/ { n += $2 }
		END { print n + 0 }' "/proc/$1/smaps"
}

define quiet_sync "--sync=TIME writes out what was published when no more comes"
quiet_sync() {
	local disk
	disk=$(mktemp -d /var/tmp/torc-test.XXXXXX)
	if [ "$(stat -f -c %T "$disk")" = tmpfs ]; then
		rmdir "$disk"
		skip="/var/tmp is no disk"
		return
	fi
	mkfifo feed
	start torc-pub --sync=50ms "file:$disk/t" <feed >/dev/null 2>&1 &
	started
	exec 9>feed
	until_true "[ -s '$disk/t' ]"
	# The system by itself would not write it out before half a minute.
	echo hello >&9 &&
		until_true "torc-stat --dump 'file:$disk/t' 2>&1 | grep -q hello" &&
		until_true "[ \"\$(dirty $pid $disk/t)\" = 0 ]"
	local status=$?
	exec 9>&-
	finish "$pid" 0 && run 0 torc-rm "file:$disk/t" || status=1
	rm -rf "$disk"
	return $status
}

define memory "--memory and --numa: of publishers and subscribers"
memory() {
	keep t --memory=prefault && run 124 torc-sub --timeout=0 \
		--memory=prefault,huge t && run 124 torc-sub --lossy \
		--timeout=0 --memory=prefault t && let_go &&
		for program in torc-pub torc-sub; do
			run 2 $program --memory=cheap t && says err cheap &&
				run 2 $program --numa=x t && says err numa ||
				return
		done
	run 0 torc-pub --memory=huge -m x "file:$PWD/disk" &&
		says err "no huge pages: the pool (vm.nr_hugepages)" &&
		run 0 torc-rm "file:$PWD/disk" || return
	keep t && run 2 torc-sub --numa=1000 t && says err "node 1000" && let_go
}

define reopened "a copy is told to be one, with what was kept and dropped"
reopened() {
	seq 10 >in
	run 0 torc-pub "file:$PWD/t" <in && cp t copy &&
		run 0 torc-sub --from=oldest --eof "file:$PWD/copy" &&
		says err "kept 10 messages, dropped 0 bytes" && same in out &&
		run 0 torc-rm "file:$PWD/copy" "file:$PWD/t"
}

define resize "--resize makes a file larger, its messages kept"
resize() {
	seq 1000 >in
	run 0 torc-pub --capacity=64K "file:$PWD/t" <in &&
		run 0 torc-stat --resize "file:$PWD/t" 1M &&
		run 0 torc-stat --json "file:$PWD/t" &&
		says out '"capacity":1048576' && says out '"messages":1000' &&
		run 0 torc-sub --from=oldest --eof "file:$PWD/t" && same in out &&
		run 2 torc-stat --resize "file:$PWD/t" 4K && says err smaller &&
		run 2 torc-stat --resize "file:$PWD/t" &&
		run 2 torc-stat --resize "file:$PWD/t" much &&
		run 0 torc-rm "file:$PWD/t" && run 0 torc-pub --persistent -m x t &&
		run 1 torc-stat --resize t 2M && says err file:PATH &&
		run 0 torc-rm t
}

define dump "--dump of a topic and of a file, as text, hexadecimal and JSON"
dump() {
	printf 'a\n\nb c\n' >in
	run 0 torc-pub --persistent t <in && run 0 torc-stat --dump t &&
		[ "$(cat out)" = "$(printf '0 0 a\n1 16 \n2 32 b c')" ] &&
		says err "3 messages, positions 0 to 48" &&
		run 0 torc-stat --dump --hex t && says out "2 32 622063" &&
		run 0 torc-stat --dump --json t && says out '"payload":"b c"' &&
		cp bus/t copy && run 0 torc-rm t &&
		run 0 torc-stat --dump ./copy && says out "2 32 b c" &&
		run 0 torc-stat --dump "$PWD/copy" && says out "2 32 b c" &&
		run 1 torc-stat --dump ./nothing && says err nothing &&
		run 1 torc-stat --dump nothing && says err nothing &&
		run 1 torc-stat --dump ./in && says err "not a ring" &&
		run 2 torc-stat --dump && run 2 torc-stat --hex t &&
		run 2 torc-stat --dump --maps t
}

define dump_busy "--dump while a publisher goes on"
dump_busy() {
	local i
	start torc-pub --size=100 --capacity=1M t >/dev/null 2>&1 &
	started
	until_true '[ -n "$(torc-stat --dump t 2>/dev/null | head -c 1)" ]'
	for i in 1 2 3; do
		timeout 20 torc-stat --dump t 2>err >out
		[ "$(awk 'NR > 1 && $1 != n + 1 { print } { n = $1 }' out)" ] &&
			return 1
	done
	kill -TERM "$pid" && finish "$pid" 0
}

define maps "--maps shows each participant's lines of /proc/PID/maps"
maps() {
	touch key
	local address
	for address in t "posix:${tmp##*/}-t" "sysv:$PWD/key"; do
		keep "$address" && run 0 torc-stat --maps "$address" &&
			says out "pub slot 0   pid $keeper" &&
			[ "$(grep -c '^    .*rw-s' out)" = 2 ] && let_go || return
	done
}

define names "torc-stat shows each topic once, in order, however often it is named"
names() {
	local topic
	for topic in b a md/c; do
		run 0 torc-pub --persistent -m x $topic || return
	done
	run 0 torc-stat --interval=0 a 'a*' b 'md/*' '*' b &&
		[ "$(awk 'NR > 1 && /^[a-z]/ { printf "%s ", $1 }' out)" = \
			"a b md/c " ] && run 0 torc-rm a b md/c
}

define watch "--watch prints again and again until a signal"
watch() {
	keep t
	start torc-stat --watch --interval=10ms t >watched 2>err &
	started
	until_true '[ "$(grep -c "^t " watched)" -gt 3 ]' &&
		kill -TERM "$pid" && finish "$pid" 0 && let_go
}

define foreign "what others have at an address is refused, and kept"
foreign() {
	echo "dear diary" >file
	run 1 torc-pub -m x "file:$PWD/file" && says err "not a ring" &&
		run 1 torc-rm "file:$PWD/file" && says err "it stays" &&
		[ "$(cat file)" = "dear diary" ] &&
		run 1 torc-pub -m x "file:/no/where" && says err /no &&
		run 2 torc-pub -m x "posix:a/b" && run 2 torc-pub -m x sysv:0 &&
		run 2 torc-rm anon:
}

run_tests "$@"
