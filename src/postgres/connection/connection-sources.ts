import { existsSync, readFileSync, statSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';

/** What connection settings are made from besides the connection string. Passed in, so that tests need no files. */
export type ConnectionSources = {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly homeFolder: string;
  /** The operating system's user, libpq's default role. */
  readonly userName: string;
  /** The content and permission bits of a file, or null when it does not exist. */
  readonly readFile: (path: string) => { readonly text: string; readonly mode: number } | null;
  readonly exists: (path: string) => boolean;
};

/** The sources of this process. */
export function systemSources(): ConnectionSources {
  return {
    environment: process.env,
    homeFolder: homedir(),
    userName: userInfo().username,
    readFile: (path) =>
      existsSync(path)
        ? { text: readFileSync(path, 'utf8'), mode: statSync(path).mode & 0o777 }
        : null,
    exists: existsSync,
  };
}
