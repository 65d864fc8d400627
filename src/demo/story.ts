/** How the demo tells what happens; the engine itself never prints. */
export type Story = {
  /** A new part of the story. */
  chapter(title: string): void;
  /** One thing that happened, as a sentence. */
  tell(sentence: string): void;
};
