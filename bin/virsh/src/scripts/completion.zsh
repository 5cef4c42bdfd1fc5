#compdef virsh
# Completion of virsh for zsh: source it after compinit, or save it as _virsh in a folder of $fpath.
_virsh() {
    local -a before found
    local at=2
    # The options before the command; those that say where to connect are handed on.
    while (( at < CURRENT )); do
        case $words[at] in
        # As it was typed: with the person's quotes.
        -c | --connect) (( at++ )); before+=(-c "${(Q)words[at]}") ;;
        --connect=*) before+=("${(Q)words[at]}") ;;
        -d | --debug | -e | --escape | -k | -K | -l | --log | --keepalive-* | --output) (( at++ )) ;;
        -r | --readonly) before+=(-r) ;;
        -*) ;;
        *) break ;;
        esac
        (( at++ ))
    done
    if (( at > CURRENT )); then
        case $words[CURRENT-1] in
        --output) compadd -- json yaml table name ;;
        -c | --connect) compadd -- qemu:///system qemu:///session test:///default ;;
        *) _files ;;
        esac
    elif (( at == CURRENT )) && [[ $PREFIX == -* ]]; then
        compadd -- --connect --debug --escape --help --keepalive-interval --keepalive-count \
            --log --output --quiet --readonly --timing --version
    else
        found=("${(@f)$("$words[1]" -q "${(@)before}" complete --objects -- \
            "${(@)words[at,CURRENT-1]}" "$PREFIX" 2>/dev/null </dev/null)}")
        compadd -- "${(@)found:#}"
    fi
}
compdef _virsh virsh
