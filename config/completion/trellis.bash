# Completion of trellis for bash: source <(trellis completion bash)

_trellis() {
  local word cur reply paths line at
  local -a words=()
  # Bash parts words at : and =, and trellis does not.
  for ((at = 1; at <= COMP_CWORD; at++)); do
    word=${COMP_WORDS[at]}
    if ((${#words[@]} > 0)) && { [[ $word == [:=]* ]] || [[ ${words[-1]} == *[:=] && ${COMP_WORDS[at - 1]} == [:=]* ]]; }; then
      words[-1]+=$word
    else
      words+=("$word")
    fi
  done
  cur=${words[-1]}
  COMPREPLY=()
  reply=$("${COMP_WORDS[0]/#\~/$HOME}" __complete -- "${words[@]}" 2>/dev/null) || return 0
  # The first line says what else can stand there.
  {
    IFS= read -r paths
    while IFS=$'\t' read -r line _; do
      [[ -n $line && $line == "$cur"* ]] && COMPREPLY+=("$line")
    done
  } <<<"$reply"
  case $paths in
    files | folders)
      compopt -o filenames 2>/dev/null
      local kind=-f
      [[ $paths == folders ]] && kind=-d
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen "$kind" -- "$cur")
      return 0
      ;;
  esac
  # What stands before the last of these is not replaced.
  if [[ $cur == *[:=]* ]]; then
    local kept=${cur%"${cur##*[:=]}"}
    COMPREPLY=("${COMPREPLY[@]#"$kept"}")
  fi
}

complete -F _trellis trellis
