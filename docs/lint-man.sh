#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The manual pages: groff and mandoc have nothing to say about them; those of section 3
# describe all that is public, as the headers declare it.  Prints TAP.
set -eu

docs=$(cd "${srcdir-$(dirname "$0")}" && pwd)
bus=$docs/../bus
count=0

if ! command -v groff >/dev/null; then
	echo "1..0 # SKIP groff is not installed"
	exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# complaints TITLE: standard input is what is wrong, if anything is.
complaints() {
	count=$((count + 1))
	cat >"$work/said"
	[ ! -s "$work/said" ] || printf 'not '
	echo "ok $count - $1"
	sed 's/^/# /' "$work/said"
}

# lint PAGE: what mandoc adds is about other pages that may not be installed here.
lint() {
	groff -mdoc -Tutf8 -ww -z "$1" 2>&1 || echo "groff failed"
	! command -v mandoc >/dev/null ||
		mandoc -T lint -W warning "$1" | grep ' WARNING: ' || :
}

# lines FILE WHAT, names FILE WHAT: of the declarations in it.
lines() {
	awk -v what="$2" '$2 == what' "$work/$1" | sort -u
}

names() {
	lines "$@" | cut -d' ' -f1
}

# without FILE WHAT: those names of standard input that it has not.
without() {
	names "$@" >"$work/known"
	sort -u | comm -23 - "$work/known"
}

for page in "$docs"/man/*.[1-9]; do
	lint "$page" >"$work/lint"
	complaints "${page##*/}" <"$work/lint"
done

awk -f "$docs/declarations.awk" "$bus"/include/torc/*.h >"$work/headers"
awk -f "$docs/declarations.awk" "$docs"/man/*.[34] >"$work/pages"

for what in function struct; do
	lines headers $what >"$work/right"
	lines pages $what | comm -23 - "$work/right" >"$work/wrong"
	[ -s "$work/right" ] || echo "none found" >"$work/wrong"
	complaints "each $what of a page is as in the header" <"$work/wrong"
done
{
	names headers public | grep '^torc_'
	sed -n 's/^[[:space:]]*\(torc_[a-z0-9_]*\);/\1/p' "$bus/libtorc.map"
} | without pages function >"$work/wrong"
complaints "each public function has a page" <"$work/wrong"
names pages function | without pages named >"$work/wrong"
complaints "each function is named at the top of its page" <"$work/wrong"
names headers public | grep '^TORC_' | without pages mentioned >"$work/wrong"
complaints "each constant of the library is described" <"$work/wrong"
names pages mentioned | without headers constant >"$work/wrong"
complaints "each constant of a page is in a header" <"$work/wrong"
{
	names pages named | sed 's/$/ 3/'
	for page in "$docs"/man/*.[1-9]; do
		page=${page##*/}
		echo "${page%.*} ${page##*.}"
	done
} | sort -u >"$work/right"
sed -n 's/^\.Xr \(torc[a-z_-]* [1-9]\).*/\1/p' "$docs"/man/*.[1-9] | sort -u |
	comm -23 - "$work/right" >"$work/wrong"
complaints "each page of torc that is referred to is there" <"$work/wrong"
echo "1..$count"
