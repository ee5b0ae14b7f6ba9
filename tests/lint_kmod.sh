#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The driver is written as the kernel is, says the kernel's checkpatch.pl, where there
# is one: TORC_CHECKPATCH, in an unpacked source as check-kmod-debug leaves it, or in
# the source of the kernel that runs.
#
# What it is not asked for: it takes versions to be for one kernel only, constants that
# differ from one of them to the next for misplaced ones, and tracepoints for functions;
# lines that end with "(" are clang-format's; and what is a barrier's partner is said
# where the barrier is used.

cd "$(dirname "$0")/../kmod" || exit 99
cache=${XDG_CACHE_HOME:-$HOME/.cache}/torc

find_checkpatch() {
	for file in ${TORC_CHECKPATCH-} "$cache/linux-6.1/scripts/checkpatch.pl" \
		"/lib/modules/$(uname -r)/source/scripts/checkpatch.pl"; do
		[ -r "$file" ] && echo "$file" && return
	done
}

checkpatch=$(find_checkpatch)
if [ -z "$checkpatch" ] || ! command -v perl >/dev/null; then
	echo "1..0 # SKIP there is no checkpatch.pl"
	exit
fi
echo 1..1
ignored=LINUX_VERSION_CODE,CONSTANT_COMPARISON,MEMORY_BARRIER,OPEN_ENDED_LINE
if found=$(perl "$checkpatch" --no-tree --strict --terse --no-summary --show-types \
	--ignore $ignored,PARENTHESIS_ALIGNMENT -f ./*.[ch] samples/*.c 2>&1); then
	echo "ok 1 - the driver is written as the kernel is"
else
	echo "$found" | sed 's/^/# /'
	echo "not ok 1 - the driver is written as the kernel is"
fi
