/** `backspin completion SHELL`: prints the script with which a shell completes verbs, options, experiments and steps. */

const scripts: Readonly<Record<string, string>> = {
  bash: `_backspin() {
  local IFS=$'\\n'
  COMPREPLY=($(backspin complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _backspin backspin`,
  zsh: `#compdef backspin
_backspin() {
  local -a found
  found=("\${(@f)$(backspin complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "$found" ]]; then compadd -- $found; else _files; fi
}
compdef _backspin backspin`,
  fish: `complete -c backspin -a '(backspin complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'`,
};
export const shells = Object.keys(scripts);

export async function run(shell: string): Promise<void> {
  console.log(scripts[shell]);
}
