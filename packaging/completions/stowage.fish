# Completion for fish: commands and options as the program's own help names them.
function __stowage_options
    set --local words (commandline --tokenize --cut-at-cursor)
    test (count $words) -ge 2; and stowage $words[2] --help 2>/dev/null | string match --all --regex -- '--[a-z][a-z-]*' | sort --unique
end
complete --command stowage --condition __fish_use_subcommand --no-files \
    --arguments "(stowage --help 2>/dev/null | string replace --filter --regex '^  stowage ([a-z][a-z-]*).*' '\$1') --help --version"
complete --command stowage --condition "not __fish_use_subcommand; and string match --quiet -- '-*' (commandline --current-token)" \
    --arguments "(__stowage_options)"
