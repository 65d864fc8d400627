import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Command lines of the processes that name `folder` or work in it, such as servers that outlived their program. */
export function processesIn(folder: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((pid) => {
      const command = read(() =>
        readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '),
      );
      const workingFolder = read(() => readlinkSync(`/proc/${pid}/cwd`));
      return { command, isInside: command.includes(folder) || workingFolder.startsWith(folder) };
    })
    .filter(({ isInside }) => isInside)
    .map(({ command }) => command);
}

/** Processes end while they are read, and those of other users hide their folder. */
function read(act: () => string): string {
  try {
    return act();
  } catch {
    return '';
  }
}
