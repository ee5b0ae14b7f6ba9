#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Every public function says what it promises (CONTRIBUTING.md).
cd "$(dirname "$0")/../bus/include/torc" || exit 99
check=../../../tests/check-headers.awk
failed=0

result() {	# result STATUS NUMBER TITLE
	echo "$found" | sed 's/^/# /'
	[ "$1" = 0 ] || { failed=1; printf 'not '; }
	echo "ok $2 - $3"
}

echo 1..2
found=$(awk -v ring=1 -f $check layout.h sp.h mp.h consumer.h repair.h)
result $? 1 "the ring's headers"
found=$(awk -f $check torc.h inspect.h torc_ev.h)
result $? 2 "the library's headers"
exit $failed
