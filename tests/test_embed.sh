#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The examples of docs/embedding.md, the README and the manual pages compile as they
# promise and do what they say: the ring alone in both languages with both compilers,
# the others against the library as it is installed, with its manual.
set -u

source=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "$TORC_CLIENTS/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TORC_DIR=$work/bus
number=0

report() {	# report STATUS TITLE
	number=$((number + 1))
	if [ "$1" = 0 ]; then
		echo "ok $number - $2"
	else
		echo "not ok $number - $2"
		sed 's/^/# /' "$work/err" | head -20
	fi
}

skip() {	# skip TITLE WHY
	number=$((number + 1))
	echo "ok $number - $1 # SKIP $2"
}

# The block of code behind "<!-- example: NAME -->".
extract() {
	awk -v mark="<!-- example: $1 -->" '
		$0 == mark { found = 1 }
		/^```$/ { inside = 0 }
		inside
		found && /^```c$/ { inside = 1; found = 0 }
	' "$source/docs/embedding.md" >"$work/$1"
	[ -s "$work/$1" ]
}

# The program behind '.\" example: NAME' in a manual page, as it is shown.
extract_page() {
	awk -v name="$1" '
		/^\.Ed/ { inside = 0 }
		inside
		/^\.Bd/ { inside = found }
		{ found = $2 == "example:" && $3 == name }
	' "$source/docs/man/${1%.c}.3" | sed 's/\\-/-/g; s/\\e/\\/g' >"$work/$1"
	[ -s "$work/$1" ]
}

# ring COMPILER LANGUAGE FLAG...: the example, and no warning.
ring() {
	local compiler=$1 language=$2
	shift 2
	if ! command -v "$compiler" >/dev/null; then
		skip "the ring alone, $compiler, $language" "no $compiler"
		return
	fi
	"$compiler" -x "${language%%[0-9]*}" -std="$language" -O2 -Werror "$@" \
		-I"$source/bus/include" "$work/ring.c" -o "$work/ring" \
		2>"$work/err" &&
		[ "$(timeout -k 5 20 "$work/ring")" = 5000050000 ]
	report $? "the ring alone, $compiler, $language"
}

# clean COMPILER LANGUAGE EXAMPLE FLAG...: no warning, of torc's headers neither.
clean() {
	local compiler=$1 language=$2 example=$3
	shift 3
	"$compiler" -x "${language%%[0-9]*}" -std="$language" -D_DEFAULT_SOURCE \
		-Werror "$@" -I"$source/bus/include" -c "$work/$example" \
		-o "$work/${example%.c}.o" 2>"$work/err"
}

# each_language EXAMPLE: by all compilers that there are.
each_language() {
	local example=$1 compiler title
	title="$example in C11 and C++17, gcc and clang"
	for compiler in gcc clang g++ clang++; do
		command -v $compiler >/dev/null && continue
		skip "$title" "no $compiler"
		return
	done
	clean gcc c11 "$example" -Wall -Wextra -Wpedantic -Wconversion &&
		clean g++ c++17 "$example" -Wall -Wextra \
			-Wno-missing-field-initializers &&
		clean clang c11 "$example" "${everything[@]}" &&
		clean clang++ c++17 "$example" "${everything[@]}" "${cxx[@]}"
	report $? "$title"
}

# installed EXAMPLE LIBRARY...: compile it with what pkg-config says.
installed() {
	local flags example=$1
	shift
	flags=$(PKG_CONFIG_SYSROOT_DIR=$work/root \
		PKG_CONFIG_PATH=$(dirname "$pc") \
		pkg-config --cflags --libs torc) &&
		# shellcheck disable=SC2086 # several words each
		${TORC_TEST_CC-cc} -Wall -Wextra -Werror ${TORC_TEST_CFLAGS-} \
			"$work/$example" -o "$work/${example%.c}" $flags "$@" \
			2>"$work/err"
}

# subscribes PROGRAM TOPIC: start it as $pid; it takes part in the topic.
subscribes() {
	timeout -k 5 30 "$work/$1" >"$work/out" 2>"$work/err" </dev/null &
	pid=$!
	for ((i = 0; i < 1000; i++)); do
		"$TORC_CLIENTS/torc-stat" --json --interval=0 "$2" \
			2>/dev/null | grep -q '"state"' && break
		sleep 0.02
	done
}

# follows EXAMPLE LIBRARY...: it prints ten messages that torc-pub publishes.
follows() {
	local pid status example=$1

	installed "$@" || return
	subscribes "${example%.c}" prices
	seq 10 | timeout -k 5 20 "$TORC_CLIENTS/torc-pub" prices
	wait "$pid"
	status=$?
	[ $status = 0 ] && seq 10 | cmp -s - "$work/out"
}

# greets: the example of torc(3), once without and once with arguments.
greets() {
	local pid status

	installed torc.c || return
	subscribes torc greetings
	timeout -k 5 20 "$work/torc" hello world >"$work/err" 2>&1 || return
	wait "$pid"
	status=$?
	[ $status = 0 ] && printf 'hello\nworld\n' | cmp -s - "$work/out"
}

# exports LIBRARY: what the headers declare, and nothing else.
exports() {
	nm -D --defined-only "$1" | awk '{ sub(/@.*/, "", $3); print $3 }' |
		grep -v '^TORC_[0-9.]*$' | sort >"$work/exported"
	awk '/^TORC_API/ { inside = 1 }
		inside && match($0, /torc_[a-z0-9_]+\(/) {
			print substr($0, RSTART, RLENGTH - 1)
			inside = 0
		}' "$source"/bus/include/torc/*.h | sort >"$work/declared"
	[ -s "$work/declared" ] &&
		diff "$work/declared" "$work/exported" >"$work/err"
}

# links: each function that the library exports leads to an installed page.
links() {
	local man3 name page

	make -C "$build/docs" install DESTDIR="$work/root" >"$work/err" 2>&1 ||
		return
	man3=$(find "$work/root" -name man3)
	while read -r name; do
		page=$(sed -n 's/^\.so man3\///p' "$man3/$name.3") &&
			grep -q "^\.Fo $name\$" "$man3/$page" ||
			{ echo "$name" >"$work/err"; return 1; }
	done <"$work/exported" 2>"$work/err"
}

# strict COMPILER: the library's headers ask for nothing that C11 does not have.
strict() {
	printf '#include <torc/%s>\n' torc.h inspect.h >"$work/strict.c" &&
		"$1" -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only \
			-I"$source/bus/include" "$work/strict.c" 2>"$work/err"
}

echo 1..16
# What neither language nor layout can do without.
everything=(-Weverything -Wno-unknown-warning-option -Wno-padded
	-Wno-declaration-after-statement -Wno-unsafe-buffer-usage
	-Wno-documentation-unknown-command -Wno-used-but-marked-unused)
cxx=(-Wno-c++98-compat -Wno-c++98-compat-pedantic -Wno-old-style-cast
	-Wno-zero-as-null-pointer-constant -Wno-c++20-designator
	-Wno-c99-extensions -Wno-missing-field-initializers)
extract ring.c && extract epoll.c && extract libev.c && extract io_uring.c &&
	extract_page torc.c && extract_page torc_ring.c
report $? "the examples are there"
# Anonymous memory is no part of C11; it is asked for by name.
ring gcc c11 -D_DEFAULT_SOURCE -Wall -Wextra -Wpedantic -Wconversion
ring clang c11 -D_DEFAULT_SOURCE "${everything[@]}"
ring g++ c++17 -Wall -Wextra -Wno-missing-field-initializers
ring clang++ c++17 "${everything[@]}" "${cxx[@]}"

strict "${TORC_TEST_CC-cc}"
report $? "the library's headers, in strict C11"
each_language epoll.c
each_language libev.c

make -C "$build/bus" install DESTDIR="$work/root" >"$work/err" 2>&1
pc=$(find "$work/root" -name torc.pc)
if [ -z "$pc" ]; then
	report 1 "the library is installed"
	exit 1
fi
export LD_LIBRARY_PATH=${pc%/pkgconfig/*}
exports "$LD_LIBRARY_PATH/libtorc.so"
report $? "the library exports what its headers declare, and nothing else"
links
report $? "a manual page is installed for every function"
sed -n '/^```c$/,/^```$/p' "$source/README.md" | sed '1d;$d' >"$work/readme.c"
installed readme.c && [ "$(timeout -k 5 20 "$work/readme")" = "DAX 18500.5" ]
report $? "the README's program, by pkg-config"
greets
report $? "the program of torc(3)"
installed torc_ring.c && [ "$("$work/torc_ring")" = hello ]
report $? "the program of torc_ring(3)"
follows epoll.c
report $? "an epoll loop"
follows libev.c -lev
report $? "a libev loop"
if ! pkg-config --exists liburing; then
	skip "an io_uring" "no liburing"
elif [ "$(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null || echo 0)" != 0 ]
then
	skip "an io_uring" "kernel.io_uring_disabled"
else
	follows io_uring.c -luring
	report $? "an io_uring"
fi
