# Completion of trellis for fish: trellis completion fish > ~/.config/fish/completions/trellis.fish

function __trellis_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    set -l reply ($words[1] __complete -- $words[2..-1] "$typed" 2>/dev/null)
    or return
    switch "$reply[1]"
        case files
            __fish_complete_path "$typed"
        case folders
            __fish_complete_directories "$typed"
    end
    test (count $reply) -gt 1; and printf '%s\n' $reply[2..-1]
end

complete -c trellis -f -a '(__trellis_complete)'
