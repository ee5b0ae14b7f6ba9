# SPDX-License-Identifier: MIT
#
# What headers and manual pages of sections 3 and 4 declare, in the same words:
#
#	torc_pub_close function struct torc_publisher *torc_pub_close(...)
#	torc_span struct const void *data; size_t length;
#	TORC_CREATE constant
#
# Of headers also "NAME public" for what a page has to describe: functions that are
# exported or have kernel-doc, constants of the library.  Of pages also "NAME named" for
# what is in their first section, "NAME mentioned" for constants.

# Without comments, reserved fields, line breaks and what torc_u64 adds to uint64_t.
function squeezed(text) {
	gsub(/\/\*([^*]|\*[^\/])*\*\//, "", text)
	gsub(/torc_u64/, "uint64_t", text)
	gsub(/uint[0-9]+_t +reserved(\[[0-9]+\])?;/, "", text)
	gsub(/[ \t\n]+/, " ", text)
	gsub(/^ | $/, "", text)
	return text
}

function print_function(prototype) {
	match(prototype, /torc_[a-z0-9_]+\(/)
	name = substr(prototype, RSTART, RLENGTH - 1)
	print name, "function", prototype
}

# Each constant of @text, with what follows it, is @what.
function print_constants(text, follow, what,    word) {
	while (match(text, "TORC_[A-Z0-9_]+" follow)) {
		word = substr(text, RSTART, RLENGTH)
		text = substr(text, RSTART + RLENGTH)
		gsub(/[^A-Z0-9_]/, "", word)
		if (word ~ /_$/)	# TORC_SYNC_*
			continue
		print word, what
		if (what == "constant" && library)
			print word, "public"
	}
}

# What follows a page's macro, less quotes.
function argument(    text) {
	text = substr($0, 5)
	gsub(/^"|"$/, "", text)
	return text
}

FNR == 1 {
	is_page = FILENAME ~ /\.[34]$/
	library = FILENAME ~ /\/(torc|inspect|torc_ev)\.h$/
	structure = signature = section = ""
	enumerating = commenting = kernel_doc = 0
}

/^struct torc_[a-z_]+ \{/ { structure = $2; fields = ""; next }
structure && /^}/ {
	print structure, "struct", squeezed(fields)
	structure = ""
}
structure { fields = fields "\n" $0 }

# ---- Pages ------------------------------------------------------------------------

is_page && /^\.Sh/ { section = $2 }
section == "NAME" && /^\.Nm/ { print $2, "named" }
section == "SYNOPSIS" && /^\.Ft/ {
	type = argument()
	sub(/[^*]$/, "& ", type)
}
section == "SYNOPSIS" && /^\.Fo/ { prototype = type $2 "("; comma = "" }
section == "SYNOPSIS" && /^\.Fa/ {
	prototype = prototype comma argument()
	comma = ", "
}
section == "SYNOPSIS" && /^\.Fc/ { print_function(prototype ")") }
is_page && !/^\.Dt/ { print_constants($0, "", "mentioned") }
is_page { next }

# ---- Headers ----------------------------------------------------------------------

/^#define TORC_[A-Z0-9_]+[ \t(]/ && !/_H$/ && $2 !~ /^TORC_API/ {
	print_constants($2, "", "constant")
}
/^enum torc_[a-z_]+ \{/ { enumerating = 1 }
enumerating { print_constants(squeezed($0), " *(,|}|=|$)", "constant") }
/^}|};/ { enumerating = 0 }

/^\/\*/ { kernel_doc = /^\/\*\*/; commenting = 1 }
commenting { commenting = !/\*\//; next }
/^TORC_API|^static inline/ { signature = " " }
signature { signature = signature "\n" $0 }
signature && /;$|^{/ {
	exported = signature ~ /TORC_API/
	gsub(/TORC_API(_HOT)?|static inline|[;{]/, "", signature)
	print_function(squeezed(signature))
	if (exported || kernel_doc)
		print name, "public"
	signature = ""
}
!signature && NF { kernel_doc = 0 }
