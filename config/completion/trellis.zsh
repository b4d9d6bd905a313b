#compdef trellis
# Completion of trellis for zsh: source <(trellis completion zsh), after compinit

_trellis() {
  local paths line
  local -a lines found
  lines=("${(@f)$("${(Q)words[1]/#\~/$HOME}" __complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
  paths=$lines[1]
  for line in "${(@)lines[2,-1]}"; do
    [[ -n $line ]] && found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
  done
  if [[ $paths == files ]]; then _files; elif [[ $paths == folders ]]; then _files -/; fi
  (( $#found )) && _describe -V trellis found
}

compdef _trellis trellis
