# Bash completion for ovs-vsctl. It knows nothing itself: commands and options come from the program, names from the database.

# The commands with their arguments: "[--option] ,name,!ARG ?ARG *ARG"
_ovs_vsctl_commands() { ovs-vsctl --commands 2>/dev/null; }

# What can stand where the program's list has an argument called $1; $2 is the table named before, if one was.
_ovs_vsctl_values() {
    case $1 in
        BRIDGE | PARENT) ovs-vsctl -t1 list-br ;;
        PORT* | BOND) ovs-vsctl -t1 --bare --columns=name list Port ;;
        IFACE*) ovs-vsctl -t1 --bare --columns=name list Interface ;;
        TABLE) printf '%s\n' Open_vSwitch Bridge Port Interface Flow_Table QoS Queue Mirror Controller Manager NetFlow Datapath \
            CT_Zone CT_Timeout_Policy SSL sFlow IPFIX Flow_Sample_Collector_Set AutoAttach ;;
        RECORD) case ${2,,} in
            o*) echo . ;;
            *) ovs-vsctl -t1 --bare --columns=name list "$2" ;;
        esac ;;
        COLUMN*) ovs-vsctl -t1 -f csv list "$2" | head -n 1 | tr ',' '\n' ;;
        MODE) printf '%s\n' standalone secure ;;
    esac 2>/dev/null
}

_ovs_vsctl() {
    local word=${COMP_WORDS[COMP_CWORD]} start=1 i
    # The words of the command that the cursor is in.
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == -- ]] && start=$((i + 1))
    done
    local words=() global=()
    for ((i = start; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == -* ]] || words+=("${COMP_WORDS[i]}")
    done
    if ((${#words[@]} == 0)); then
        # A command, one of its options, or one of the program's.
        ((start == 1)) && mapfile -t global < <(ovs-vsctl --options 2>/dev/null | sed 's/=ARG$/=/; s/ ARG$//')
        mapfile -t COMPREPLY < <(compgen -W "${global[*]} $(_ovs_vsctl_commands | tr -d '[]' | awk -F, '{print $1, $2}')" -- "$word")
        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
        return
    fi
    local usage args
    usage=$(_ovs_vsctl_commands | awk -F, -v name="${words[0]}" '$2 == name {print $3}')
    read -ra args <<<"$usage"
    # The last argument may repeat.
    local at=$((${#words[@]} - 1))
    ((at >= ${#args[@]})) && at=$((${#args[@]} - 1))
    ((at < 0)) && return
    mapfile -t COMPREPLY < <(compgen -W "$(_ovs_vsctl_values "${args[at]#[?*+!]}" "${words[1]}")" -- "$word")
}

complete -F _ovs_vsctl ovs-vsctl
