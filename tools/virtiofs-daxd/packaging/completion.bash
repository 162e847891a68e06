# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Completion of the options of virtiofs-daxd and of the words that they take, for bash:
# both are those of --help, so that there is no second list.

# _virtiofs_daxd_words OPTION: "  --option MODE   one, two or three (one)" has them
_virtiofs_daxd_words() {
	"$program" --help 2>/dev/null | awk -v option="$1" '
		/^ *-/ {
			on = 0
			for (i = 1; i <= 3; i++) if ($i == option || $i == option ",") on = 1
			if (on) sub(/^ *(-., *)?--[a-z-]+ +[^ ]+ */, "")
		}
		/^$/ {on = 0}
		on {text = text " " $0}
		END {
			sub(/[:;(].*/, "", text)
			n = split(text, parts, /, or |, | or /)
			for (i = 1; i <= n; i++) {
				gsub(/^ +| +$/, "", parts[i])
				if (n > 1 && parts[i] ~ /^[a-z]+$/) print parts[i]
			}
		}'
}

_virtiofs_daxd() {
	local program=$1 word=$2 option=$3
	COMPREPLY=()
	# "--cache=n" comes as three words.
	[ "$word" != = ] || word=''
	[ "$option" != = ] || option=${COMP_WORDS[COMP_CWORD - 2]}
	case $option in
	--shared-dir)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
	--socket-path | --window-socket | --log-file | --stats-file)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	--*)
		mapfile -t COMPREPLY < <(compgen -W "$(_virtiofs_daxd_words "$option")" -- "$word") ;;
	esac
	[ ${#COMPREPLY[@]} -eq 0 ] && [[ $word == -* || -z $word ]] || return 0
	mapfile -t COMPREPLY < <(compgen -W "$("$program" --help 2>/dev/null |
		grep -oE '^ +(-., +)?--[a-z-]+' | grep -oE -- '--[a-z-]+')" -- "$word")
}

complete -F _virtiofs_daxd virtiofs-daxd
