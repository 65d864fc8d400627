import type { OptionDescription, WordDescription } from '../command-line-description.ts';

export function renderZsh(words: readonly WordDescription[]): string {
  const names = words.filter(({ name }) => name !== '').map(({ name }) => `'${name}'`);
  return `#compdef walnut
# zsh completion of walnut
_walnut() {
  local command='' candidate
  local -i index depth=1
  for ((index = 2; index < CURRENT; index++)); do
    candidate="\${command:+$command }\${words[index]}"
    case "$candidate" in
      ${names.join('|')}) command=$candidate; depth=index ;;
    esac
  done
  local -a next
  case "$command" in
${words.map(caseOf).join('\n')}
  esac
}
if [[ $funcstack[1] == _walnut ]]; then
  _walnut "$@"
else
  compdef _walnut walnut
fi
`;
}

function caseOf(description: WordDescription): string {
  const { name, words, options, choices } = description;
  const specs = options.map(optionSpec).join(' ');
  if (words.length > 0) {
    const entries = words.map(({ word, summary }) => quote(`${word}:${summary}`)).join(' ');
    return `    '${name}')
      next=(${entries})
      if [[ $words[CURRENT] == -* ]]; then _arguments ${specs}; else _describe command next; fi ;;`;
  }
  const argument = choices.length > 0 ? `'*: :(${choices.join(' ')})'` : "'*: :_files'";
  return `    '${name}')
      words=("$words[1]" "\${(@)words[depth+1,-1]}"); (( CURRENT -= depth - 1 ))
      _arguments ${specs} ${argument} ;;`;
}

function optionSpec({ flag, label, help, choices }: OptionDescription): string {
  const text = help.replaceAll(/[[\]:]/g, ' ');
  if (label === null) return quote(`${flag}[${text}]`);
  const action = choices.length > 0 ? `(${choices.join(' ')})` : '_files';
  return quote(`${flag}[${text}]:${label.replaceAll(/[:|]/g, ' ')}:${action}`);
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
