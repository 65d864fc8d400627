import type { WordDescription } from '../command-line-description.ts';

export function renderBash(words: readonly WordDescription[]): string {
  const names = words.filter(({ name }) => name !== '').map(({ name }) => `'${name}'`);
  return `# bash completion of walnut
_walnut() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}
  local command='' word candidate index
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    candidate="\${command:+$command }$word"
    case "$candidate" in
      ${names.join('|')}) command=$candidate ;;
    esac
  done
  local choices=''
  case "$command $previous" in
${words.flatMap(optionChoices).join('\n')}
  esac
  if [[ -n $choices ]]; then
    COMPREPLY=($(compgen -W "$choices" -- "$current"))
    return
  fi
  local options='' words=''
  case "$command" in
${words.map(caseOf).join('\n')}
  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  elif [[ -n $words ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  else
    COMPREPLY=($(compgen -f -- "$current"))
  fi
}
complete -o filenames -o bashdefault -F _walnut walnut
`;
}

function caseOf({ name, words, options, choices }: WordDescription): string {
  const next = [...words.map(({ word }) => word), ...choices].join(' ');
  const flags = options.map(({ flag }) => flag).join(' ');
  return `    '${name}') words='${next}' options='${flags}' ;;`;
}

function optionChoices({ name, options }: WordDescription): string[] {
  return options
    .filter(({ choices }) => choices.length > 0)
    .map(({ flag, choices }) => `    '${name} ${flag}') choices='${choices.join(' ')}' ;;`);
}
