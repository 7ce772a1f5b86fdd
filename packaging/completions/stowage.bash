# Completion for bash: commands and options as the program's own help names them.
_stowage() {
  local current=${COMP_WORDS[COMP_CWORD]} program=${COMP_WORDS[0]} command=${COMP_WORDS[1]-}
  if [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "$("$program" --help 2>/dev/null | sed -n 's/^  stowage \([a-z][a-z-]*\).*/\1/p') --help --version" -- "$current")
  elif [ "${current#-}" != "$current" ]; then
    mapfile -t COMPREPLY < <(compgen -W "$("$program" "$command" --help 2>/dev/null | grep -o -- '--[a-z][a-z-]*' | sort -u)" -- "$current")
  elif [ "$COMP_CWORD" -eq 2 ] && "$program" --help 2>/dev/null | grep -q "^  stowage $command [a-z]*|"; then
    mapfile -t COMPREPLY < <(compgen -W "$("$program" "$command" --help 2>/dev/null | sed -n "s/^ *stowage $command \([a-z][a-z-]*\).*/\1/p" | sort -u)" -- "$current")
  fi
}
complete -o default -F _stowage stowage
