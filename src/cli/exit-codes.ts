/** What each exit code tells a shell; `src/lib/walnut-error.ts` says which error has which. */
const EXIT_CODE_MEANINGS: Readonly<Record<number, string>> = {
  0: 'done',
  1: 'failed',
  2: 'wrong usage or configuration',
  3: 'a check, verification or demo found something wrong',
  4: 'done, with damage reported',
  44: 'not in the repository (wal fetch)',
  130: 'interrupted by Ctrl-C (143: by SIGTERM)',
};

export type ExitCodeMeaning = { readonly code: number; readonly meaning: string };

/** The codes of one command, or all of them. */
export function exitCodeMeanings(codes?: readonly number[]): ExitCodeMeaning[] {
  return Object.entries(EXIT_CODE_MEANINGS)
    .map(([code, meaning]) => ({ code: Number(code), meaning }))
    .filter(({ code }) => codes === undefined || codes.includes(code));
}
