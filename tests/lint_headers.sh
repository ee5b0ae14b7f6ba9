#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Every public function says what it promises, and every file whose it is
# (CONTRIBUTING.md).
cd "$(dirname "$0")/../bus/include/torc" || exit 99
check=../../../tests/check-headers.awk
failed=0

result() {	# result STATUS NUMBER TITLE
	echo "$found" | sed 's/^/# /'
	[ "$1" = 0 ] || { failed=1; printf 'not '; }
	echo "ok $2 - $3"
}

echo 1..3
found=$(awk -v ring=1 -f $check layout.h sp.h mp.h consumer.h repair.h)
result $? 1 "the ring's headers"
found=$(awk -f $check torc.h inspect.h torc_ev.h)
result $? 2 "the library's headers"
cd ../../.. || exit 99
if files=$(git ls-files 2>/dev/null) && [ -e .git ]; then
	# shellcheck disable=SC2086 # no name here has blanks
	found=$(for f in $files; do
		case $f in LICENSES/* | *.tar.xz) continue ;; esac
		[ ! -e "$f" ] || head -n 3 "$f" |
			grep -q 'SPDX-License-Identifier: ' || echo "$f"
	done)
	[ -z "$found" ]
	result $? 3 "every file has its SPDX tag"
else
	echo "ok 3 - every file has its SPDX tag # SKIP no git"
fi
exit $failed
