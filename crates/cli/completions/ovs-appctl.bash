# Bash completion for ovs-appctl. It knows nothing itself: commands, and what they can be about, come from the running daemon.

_ovs_appctl() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} target=ovs-vswitchd command='' i
    local rundir=${OVS_RUNDIR:-/var/run/openvswitch}
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            -t | --target | -T | --timeout | -f | --format)
                local option=${COMP_WORDS[i++]}
                # bash makes "=" a word of its own.
                [[ ${COMP_WORDS[i]} == = ]] && ((i++))
                [[ $option == -t || $option == --target ]] && target=${COMP_WORDS[i]}
                ;;
            -*) ;;
            *)
                command=${COMP_WORDS[i]}
                break
                ;;
        esac
    done
    [[ $previous == = ]] && previous=${COMP_WORDS[COMP_CWORD - 2]}
    case $previous in
        -t | --target)
            local pidfiles=("$rundir"/*.pid) names=()
            for i in "${pidfiles[@]}"; do
                [[ -e $i ]] && names+=("$(basename "$i" .pid)")
            done
            mapfile -t COMPREPLY < <(compgen -W "${names[*]}" -- "$word")
            return
            ;;
        -f | --format)
            mapfile -t COMPREPLY < <(compgen -W 'text json' -- "$word")
            return
            ;;
    esac
    local words
    if [[ -n $command ]]; then
        words=$(_ovs_appctl_values "$target" "$command")
    elif [[ $word == -* ]]; then
        words=$(ovs-appctl --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]*')
    else
        words=$(ovs-appctl -T 2 -t "$target" list-commands 2>/dev/null | awk 'NR > 1 {print $1}')
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

# What command $2 of daemon $1 can be about.
_ovs_appctl_values() {
    case $2 in
        fdb/* | dpif/dump-flows | dpif/show-dp-features) ovs-appctl -T 2 -t "$1" ofproto/list ;;
        dpctl/*) ovs-appctl -T 2 -t "$1" dpctl/dump-dps ;;
        tunnel/show) ovs-appctl -T 2 -t "$1" tunnel/show | cut -d : -f 1 ;;
        coverage/read-counter) ovs-appctl -T 2 -t "$1" coverage/show | awk '/total:/ {print $1}' ;;
        vlog/*) ovs-appctl -T 2 -t "$1" vlog/list | awk 'NR > 2 {print $1}' ;;
        ovsdb-server/compact | ovsdb-server/remove-db | ovsdb-server/get-db-storage-status)
            ovs-appctl -T 2 -t "$1" ovsdb-server/list-dbs
            ;;
        ovsdb-server/remove-remote) ovs-appctl -T 2 -t "$1" ovsdb-server/list-remotes ;;
    esac 2>/dev/null
}

complete -F _ovs_appctl ovs-appctl
