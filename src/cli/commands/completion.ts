import { argument, defineCommand, parseChoice, type Command } from '../command.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

export const completionCommand: Command = defineCommand({
  name: 'completion',
  summary: 'print the completion script of a shell',
  description: 'The script is complete in itself: it does not run walnut while you type.',
  arguments: {
    shell: argument({
      label: 'SHELL',
      help: 'the shell',
      choices: SHELLS,
      parse: (text: string) => parseChoice(SHELLS, text),
    }),
  },
  options: {},
  examples: [
    { command: 'source <(walnut completion bash)', does: 'in this shell' },
    {
      command: 'walnut completion bash > /etc/bash_completion.d/walnut',
      does: 'for everybody',
    },
    {
      command: 'walnut completion fish > ~/.config/fish/completions/walnut.fish',
      does: 'for fish',
    },
  ],
  exitCodes: [0, 1, 2],
  run: async ({ shell }) => {
    const { renderCompletion } = await import('../completion/scripts.ts');
    const { describeCommandLine } = await import('../command-line-description.ts');
    const script = renderCompletion(shell, await describeCommandLine());
    return { document: { shell, script }, text: script };
  },
});
