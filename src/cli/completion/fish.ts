import type { OptionDescription, WordDescription } from '../command-line-description.ts';

export function renderFish(words: readonly WordDescription[]): string {
  const names = words.filter(({ name }) => name !== '').map(({ name }) => quote(name));
  return `# fish completion of walnut
function __walnut_at
    set -l command ''
    for word in (commandline -opc)[2..-1]
        set -l candidate (string trim -- "$command $word")
        contains -- "$candidate" ${names.join(' ')}; and set command $candidate
    end
    test "$command" = "$argv[1]"
end
${words.flatMap(linesOf).join('\n')}
`;
}

function linesOf({ name, words, options, choices }: WordDescription): string[] {
  const condition = `-n ${quote(`__walnut_at ${quote(name)}`)}`;
  const next = words.map(
    ({ word, summary }) => `complete -c walnut -f ${condition} -a ${word} -d ${quote(summary)}`,
  );
  const first =
    choices.length === 0
      ? []
      : [`complete -c walnut -f ${condition} -a ${quote(choices.join(' '))}`];
  return [...next, ...first, ...options.map((option) => optionLine(condition, option))];
}

function optionLine(condition: string, { flag, label, help, choices }: OptionDescription): string {
  const value =
    label === null ? '' : choices.length > 0 ? ` -x -a ${quote(choices.join(' '))}` : ' -r';
  return `complete -c walnut ${condition} -l ${flag.slice(2)}${value} -d ${quote(help)}`;
}

/** In fish's single quotes only a backslash and the quote itself are special. */
function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
