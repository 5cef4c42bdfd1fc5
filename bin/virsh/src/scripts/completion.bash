# Completion of virsh for bash: source it, or save it as
# ~/.local/share/bash-completion/completions/virsh
_virsh() {
    local word=${COMP_WORDS[COMP_CWORD]} before=() at=1 this
    # The options before the command; those that say where to connect are handed on.
    while ((at < COMP_CWORD)); do
        this=${COMP_WORDS[at]}
        case $this in
        -c | --connect)
            # Colons and equal signs are words of their own to bash.
            local uri=
            ((at++))
            [[ ${COMP_WORDS[at]} == = ]] && ((at++))
            while ((at < COMP_CWORD)) && uri+=${COMP_WORDS[at]} &&
                [[ ${COMP_LINE:0:COMP_POINT} == *"$uri${COMP_WORDS[at + 1]}"* && -n ${COMP_WORDS[at + 1]} ]]; do
                ((at++))
            done
            # As it was typed: with the person's quotes.
            before+=(-c "${uri//[\"\'\\]/}")
            ;;
        -d | --debug | -e | --escape | -k | -K | -l | --log | --keepalive-* | --output) ((at++)) ;;
        -r | --readonly) before+=(-r) ;;
        -*) ;;
        *) break ;;
        esac
        ((at++))
    done
    local previous=${COMP_WORDS[COMP_CWORD - 1]} found=()
    if ((at > COMP_CWORD)) || { ((at == COMP_CWORD)) && [[ $previous == -c || $previous == --connect ]]; }; then
        case $previous in
        --output) mapfile -t found < <(compgen -W 'json yaml table name' -- "$word") ;;
        -l | --log) mapfile -t found < <(compgen -f -- "$word") ;;
        -c | --connect)
            mapfile -t found < <(compgen -W 'qemu:///system qemu:///session test:///default' -- "$word")
            ;;
        esac
    elif ((at == COMP_CWORD)) && [[ $word == -* ]]; then
        mapfile -t found < <(compgen -W '--connect --debug --escape --help --keepalive-interval
            --keepalive-count --log --output --quiet --readonly --timing --version' -- "$word")
    else
        mapfile -t found < <("${COMP_WORDS[0]}" -q "${before[@]}" complete --objects -- \
            "${COMP_WORDS[@]:at:COMP_CWORD-at}" "$word" 2>/dev/null </dev/null)
    fi
    COMPREPLY=("${found[@]}")
}
complete -o default -F _virsh virsh
