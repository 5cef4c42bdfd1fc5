# Completion of virsh for fish: source it, or save it as ~/.config/fish/completions/virsh.fish
function __virsh_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    set -l before
    # The options before the command; those that say where to connect are handed on.
    while set -q words[1]
        switch $words[1]
            case -c --connect
                set -q words[2]; or begin
                    printf '%s\n' qemu:///system qemu:///session test:///default
                    return
                end
                set -a before -c $words[2]
                set -e words[1]
            case '--connect=*'
                set -a before $words[1]
            case --output
                set -q words[2]; or begin
                    printf '%s\n' json yaml table name
                    return
                end
                set -e words[1]
            case -d --debug -e --escape -k -K -l --log '--keepalive-*'
                set -q words[2]; or return
                set -e words[1]
            case -r --readonly
                set -a before -r
            case '-*'
            case '*'
                break
        end
        set -e words[1]
    end
    if not set -q words[1]; and string match -q -- '-*' "$word"
        printf '%s\n' --connect --debug --escape --help --keepalive-interval --keepalive-count \
            --log --output --quiet --readonly --timing --version
        return
    end
    $program -q $before complete --objects -- $words "$word" 2>/dev/null </dev/null
end
complete -c virsh -f -a '(__virsh_complete)'
