# Bash completion for ferroswitch, ovs-vswitchd, ovsdb-server, ovsdb-client, ovsdb-tool and ovs-testcontroller, from what their --help says.

# The options in a help text, each with its "=" if it must have an argument.
_ferroswitch_options() { grep -oE -- '(^|[ ,])--[a-z][a-z-]*=?' | tr -d ' ,' | sort -u; }

# The commands in a help text: what begins a line that is indented by two.
_ferroswitch_commands() { sed -nE 's/^  (\[-m\]\.\.\. )?([a-z][a-z-]*)( .*)?$/\2/p'; }

_ferroswitch() {
    local program=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} command='' words i
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == [a-z]* && ${COMP_WORDS[i - 1]} != '=' ]] && command=${COMP_WORDS[i]} && break
    done
    if [[ $word == -* ]]; then
        # ferroswitch's commands have options of their own.
        words=$({ [[ ${program##*/} == ferroswitch && -n $command ]] && "$program" "$command" --help || "$program" --help; } \
            2>/dev/null | _ferroswitch_options)
    elif [[ -z $command && ${program##*/} != ovs-vswitchd && ${program##*/} != ovsdb-server && ${program##*/} != ovs-testcontroller ]]; then
        words=$("$program" --help 2>/dev/null | _ferroswitch_commands)
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
}

# Everything else is a file, or something that only the reader knows.
complete -o default -F _ferroswitch ferroswitch ovs-vswitchd ovsdb-server ovsdb-client ovsdb-tool ovs-testcontroller
