#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The README's example compiles and does what it says.
set -eu

source=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "$TORC_CLIENTS/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TORC_DIR=$work/bus

echo 1..2
sed -n '/^```c$/,/^```$/p' "$source/README.md" | sed '1d;$d' > "$work/example.c"
lines=$(wc -l < "$work/example.c")
if [ "$lines" -ge 20 ] && [ "$lines" -le 40 ]; then
	echo "ok 1 - the example has $lines lines"
else
	echo "not ok 1 - the example has $lines lines"
fi

# shellcheck disable=SC2086 # flags are several words
if ${TORC_TEST_CC-cc} -Wall -Wextra ${TORC_TEST_CFLAGS-} \
	-I"$source/bus/include" "$work/example.c" -o "$work/example" \
	-L"$build/bus/.libs" -ltorc &&
	LD_LIBRARY_PATH=$build/bus/.libs timeout 20 "$work/example" \
		> "$work/output" &&
	[ "$(cat "$work/output")" = "DAX 18500.5" ]; then
	echo "ok 2 - it runs"
else
	echo "not ok 2 - it runs"
fi
