#!/bin/sh
# SPDX-License-Identifier: MIT
# The manual pages, and groff has nothing to say about them.  Prints TAP.
set -eu

if ! command -v groff >/dev/null; then
	echo "1..0 # SKIP groff is not installed"
	exit 0
fi

count=0
for page in "${srcdir-$(dirname "$0")}"/man/*.[1-9]; do
	[ -e "$page" ] || continue
	count=$((count + 1))
	said=$(groff -mdoc -Tutf8 -ww -z "$page" 2>&1) || said="$said (failed)"
	if [ -z "$said" ]; then
		echo "ok $count - ${page##*/}"
	else
		echo "not ok $count - ${page##*/}"
		echo "$said" | sed 's/^/# /'
	fi
done
if [ "$count" -gt 0 ]; then
	echo "1..$count"
else
	echo "1..0 # SKIP no pages"
fi
