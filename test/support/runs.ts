import { readFileSync } from 'node:fs';

/** A process that nobody waits for stays behind as a zombie where process 1 does not reap; it runs no more. */
export function runs(pid: number): boolean {
  try {
    return !/\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}
