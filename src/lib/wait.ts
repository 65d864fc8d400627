/**
 * Something to wait for, if there is: what is done a hundred thousand times and waits once in a thousand is no async
 * function, whose promise alone takes more memory than what it does.
 */
export type Wait = Promise<void> | undefined;

/** The next thing, at once where there is nothing to wait for. */
export function andThen(first: Wait, act: () => Wait): Wait {
  return first === undefined ? act() : first.then(act);
}
