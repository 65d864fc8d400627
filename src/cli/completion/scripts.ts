import type { OptionDescription, WordDescription } from '../command-line-description.ts';
import { GLOBAL_OPTIONS } from '../global-options.ts';
import { renderBash } from './bash.ts';
import { renderFish } from './fish.ts';
import { renderZsh } from './zsh.ts';

const { config, json, help } = GLOBAL_OPTIONS;
const everywhere: readonly OptionDescription[] = [config, json, help].map((option) => ({
  ...option,
  choices: [],
}));

const RENDERERS = { bash: renderBash, zsh: renderZsh, fish: renderFish };

/** A script that completes commands, options and their choices, and files where a value is a path. */
export function renderCompletion(
  shell: keyof typeof RENDERERS,
  words: readonly WordDescription[],
): string {
  const complete = words.map((each) => ({
    ...each,
    options: [...each.options, ...everywhere],
  }));
  return RENDERERS[shell](complete);
}
