import { PassThrough, Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import type { Terminal } from '../../src/cli/render/output.ts';

/** A question comes at once or never. */
const QUESTION_TIMEOUT_MS = 20_000;

export const KEYS = { enter: '\r', ctrlC: '\u0003', down: '\u001B[B' } as const;

/**
 * A terminal at which a test sits: prompts read keys from it and draw on it as on a real one. There is no way to have a
 * pseudo terminal from Node alone.
 */
export class TypingTerminal {
  readonly terminal: Terminal;
  /** All that was drawn, without control sequences. */
  screen = '';
  readonly #input = new PassThrough();
  #seen = 0;
  #onDrawn: () => void = () => {};

  constructor() {
    const output = new Writable({
      write: (chunk: Buffer, _, done) => {
        this.screen += stripVTControlCharacters(chunk.toString('utf8'));
        this.#onDrawn();
        done();
      },
    });
    const facts = { isTTY: true, columns: 200, rows: 60 };
    this.terminal = { input: this.#input, output: Object.assign(output, facts) };
  }

  /** Waits until the text is drawn, behind what was waited for before, and types the keys. */
  async answer(text: string, ...keys: readonly string[]): Promise<void> {
    await this.waitFor(text);
    for (const key of keys) this.#input.write(key);
  }

  async waitFor(text: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`"${text}" was not drawn:\n${this.screen.slice(this.#seen)}`)),
        QUESTION_TIMEOUT_MS,
      );
      this.#onDrawn = (): void => {
        const at = this.screen.indexOf(text, this.#seen);
        if (at < 0) return;
        this.#seen = at + text.length;
        this.#onDrawn = () => {};
        clearTimeout(timer);
        resolve();
      };
      this.#onDrawn();
    });
  }
}
