# SPDX-License-Identifier: MIT
#
# Completion for bash: options, their values and topics.  Which options and topics there
# are, the programs themselves say.

# The topics of the bus that the command line names, or the default one.
_torc_topics() {
	[[ ! $COMP_LINE =~ --bus[=\ ]([^\ ]+) ]] ||
		set -- --bus="${BASH_REMATCH[1]}"
	torc-stat --interval=0 "$@" 2>/dev/null | awk 'NR > 1 { print $1 }'
}

# What may be the value of an option; nothing where that is a file, or anything else.
_torc_values() {
	case $1 in
	--cursors-group | --group) compgen -g ;;
	--from) echo "latest oldest" ;;
	--full) echo "wait fail drop evict" ;;
	--memory) echo "huge locked prefault" ;;
	--owner) compgen -u ;;
	--sync) echo "none async interval commit" ;;
	esac
}

_torc() {
	local word=${COMP_WORDS[COMP_CWORD]} program=${COMP_WORDS[0]##*/} words
	local before=${COMP_WORDS[COMP_CWORD - 1]} option=

	# The "=" behind a long option is a word of its own.
	case $before:$word in
	--*:=) option=$before word= ;;
	=:*) option=${COMP_WORDS[COMP_CWORD - 2]} ;;
	-[fmn]:*) option=$before ;;
	esac
	if [[ $program == torc ]]; then
		program=torc-${COMP_WORDS[1]}
		[[ $COMP_CWORD -gt 1 ]] || program=torc
	fi
	case $option:$program:$word in
	-*)
		words=$(_torc_values "$option")
		;;
	*:*:-*)
		words=$("$program" --help 2>/dev/null |
			sed -En 's/^ +(-., )?(--[a-z-]+=?).*/\2/p')
		;;
	:torc:*)
		words="pub sub stat rm bench"
		;;
	:torc-bench:*)
		words="rtt throughput fanout mpsc wake"
		;;
	*)
		words=$(_torc_topics)
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
	# Values follow.
	[[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace
}

# Else files: of --file and --bus.
complete -o default -F _torc torc torc-bench torc-pub torc-rm torc-stat torc-sub
