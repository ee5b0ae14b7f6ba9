#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Every ordered access names a partner that exists (CONTRIBUTING.md).
cd "$(dirname "$0")/../bus" || exit 99
echo 1..1
if found=$(awk -f ../tests/check-ordering.awk -v strict=1 include/torc/*.h ./*.[ch]); then
	echo "ok 1 - $found"
else
	echo "$found" | sed 's/^/# /'
	echo "not ok 1 - labels of memory orderings"
fi
