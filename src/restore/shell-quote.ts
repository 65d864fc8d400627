const PLAIN_WORD = /^[A-Za-z0-9_./:=@,+-]+$/;

/** One word of a POSIX shell command line. */
export function shellQuote(word: string): string {
  return PLAIN_WORD.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
