# SPDX-License-Identifier: MIT
#
# Lint of the comments on memory ordering.
#
#	awk -f check-ordering.awk [-v strict=1] file ...
#
# An ordered access is labelled MO(function:letter) in the comment above it, and
# that comment names its partners: "pairs with function:letter, :letter and
# function:letter".  Errors are a label that is there twice, and the name of a
# label, in any comment, that is not there.  Strictly, so are a partner that does
# not name the label in its turn, and a label in another function than its own.

function complain(where, words) {
	print where ": " words
	errors++
}

# The comment is whole: take labels and names out of it.
function take(text, where,    label, last, token, names, partners, at) {
	gsub(/[ \t]+/, " ", text)
	while (match(text, /MO\([a-z0-9_]+:[A-Z]\)/)) {
		label = substr(text, RSTART + 3, RLENGTH - 4)
		if (label in place)
			complain(where, "label " label " is already at " \
				 place[label])
		place[label] = where
		mine[++labels] = label
		text = substr(text, 1, RSTART - 1) " " \
			substr(text, RSTART + RLENGTH)
		last = label
		owner[label] = function_now
	}
	at = match(text, /[Pp]airs with|[Bb]oth pair with/)
	while (match(text, /(torc_[a-z0-9_]+|[ (]):[A-Z]([^A-Za-z0-9_]|$)/)) {
		token = substr(text, RSTART, RLENGTH)
		if (token ~ /^torc_/) {
			base = token
			sub(/:.*/, "", base)
		}
		sub(/^[^:]*:/, "", token)
		token = base ":" substr(token, 1, 1)
		if (base != "") {
			named[++names_count] = token
			named_at[names_count] = where
			if (at && RSTART >= at && last != "")
				pair[last, token] = where
		}
		text = substr(text, 1, RSTART - 1) \
			substr("#########################################" \
			       "#########################################", 1,
			       RLENGTH - 1) \
			substr(text, RSTART + RLENGTH - 1)
	}
	base = ""
}

# Where a function begins: its name, the last before an open bracket.
!in_comment && /^[a-z].*[a-z0-9_]\(/ && !/;[ \t]*$/ {
	header = $0
	sub(/\(.*/, "", header)
	sub(/.*[ *]/, "", header)
	if (header !~ /^__attribute__/)
		function_now = header
}
!in_comment && /[ \t]torc_[a-z0-9_]+\(struct [a-z_]+ \*/ && /^static/ {
	header = $0
	sub(/\(struct.*/, "", header)
	sub(/.*[ *]/, "", header)
	function_now = header
}
!in_comment && /^torc_[a-z0-9_]+\(/ {
	header = $0
	sub(/\(.*/, "", header)
	function_now = header
}

{
	line = $0
	while (line != "") {
		if (!in_comment) {
			at = index(line, "/*")
			if (!at)
				break
			line = substr(line, at + 2)
			in_comment = 1
			comment = ""
			begun = FILENAME ":" FNR
		} else {
			at = index(line, "*/")
			piece = at ? substr(line, 1, at - 1) : line
			sub(/^[ \t]*\*[ \t]?/, "", piece)
			comment = comment " " piece
			if (!at)
				break
			line = substr(line, at + 2)
			in_comment = 0
			take(comment, begun)
		}
	}
}

END {
	for (i = 1; i <= names_count; i++)
		if (!(named[i] in place))
			complain(named_at[i], "there is no " named[i])
	if (strict) {
		for (key in pair) {
			split(key, two, SUBSEP)
			if (two[2] in place && !((two[2], two[1]) in pair))
				complain(place[two[2]], two[2] \
					 " does not name " two[1] \
					 ", which names it")
		}
		for (i = 1; i <= labels; i++) {
			where = mine[i]
			sub(/:.*/, "", where)
			if (where != owner[mine[i]])
				complain(place[mine[i]], mine[i] " is in " \
					 owner[mine[i]])
		}
	}
	if (!labels)
		complain("check-ordering", "no labels at all")
	printf "%d labels, %d errors\n", labels, errors
	exit errors > 0
}
