# SPDX-License-Identifier: MIT
#
# Public functions say what they promise.  After the comment that begins with
# "/**", a function's every parameter is described, and what it returns; with
# -v ring=1 also its context, ordering and progress.  An exported function
# (TORC_API) has a comment of some kind, unless it is a _close().

function fail(what) {
	printf "%s:%d: %s: %s\n", FILENAME, FNR, name, what
	failed = 1
}

# The signature that ends on this line, after the comment that precedes it.
function check(    list, count, i, parameter) {
	match(signature, /torc_[a-z0-9_]+\(/)
	name = substr(signature, RSTART, RLENGTH - 1)
	if (signature ~ /^TORC_API/ && comment == "" && name !~ /_close$/)
		fail("no comment")
	if (comment !~ /^\/\*\*/)
		return
	functions++
	sub(/^[^(]*\(/, "", signature)
	# A function as a parameter is its name alone.
	signature = functions_by_name(signature)
	sub(/\)[^)]*$/, "", signature)
	count = split(signature, list, ",")
	for (i = 1; i <= count; i++) {
		parameter = list[i]
		sub(/\[[0-9]*\]$/, "", parameter)
		sub(/^.*[^a-z0-9_]/, "", parameter)
		if (parameter != "void" && comment !~ "@" parameter ":")
			fail("@" parameter " is not described")
	}
	if (!is_void && comment !~ /Return:/)
		fail("what it returns is not said")
	if (ring && comment !~ /Context[:,]/)
		fail("no context")
	if (ring && comment !~ /Ordering:|ordering[,:]/)
		fail("no ordering")
	if (ring && comment !~ /Progress:|progress:/)
		fail("no progress guarantee")
}

# "int (*each)(...)" becomes "each".
function functions_by_name(text,    head, tail, inner) {
	while (match(text, /[a-z_]+ *\(\*[a-z_]+\)\([^()]*\)/)) {
		head = substr(text, 1, RSTART - 1)
		inner = substr(text, RSTART, RLENGTH)
		tail = substr(text, RSTART + RLENGTH)
		sub(/^[^*]*\*/, "", inner)
		sub(/\).*/, "", inner)
		text = head "int " inner tail
	}
	return text
}

/^\/\*/ { comment = ""; reading = 1 }
reading { comment = comment $0 "\n" }
reading && /\*\// { reading = 0; next }
reading { next }

/^TORC_API|^static inline/ && !/#/ { signature = ""; collecting = 1 }
collecting {
	signature = signature " " $0
	sub(/^ /, "", signature)
}
collecting && /[;{]|^{/ {
	collecting = 0
	gsub(/[ \t]+/, " ", signature)
	is_void = signature ~ /^(TORC_API|static inline) void torc/
	if (signature ~ /torc_[a-z0-9_]+\(/)
		check()
	comment = ""
	next
}
!collecting && NF { if ($0 !~ /^[a-z_]+\(/) comment = "" }

END {
	if (!functions) {
		print "no function found"
		failed = 1
	}
	if (!failed)
		print functions " functions say what they promise"
	exit failed
}
