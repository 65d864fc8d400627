/** Configuration that lies outside the data directory, as on Debian: saved beside the backup where it can be read. */
import { isAbsolute } from 'node:path';
import type { ServerFacts } from '../postgres/connection/server-facts.ts';
import type { Manifest } from '../repository/manifest.ts';
import { messageOf } from '../lib/walnut-error.ts';
import type { ClusterSource } from './cluster-source.ts';

const SETTINGS = ['config_file', 'hba_file', 'ident_file'] as const;
const FILE_BYTES_MAX: number = 4 * 1024 * 1024;

export async function readExternalFiles(
  files: ClusterSource,
  facts: ServerFacts,
  warn: (text: string) => void,
): Promise<Manifest['externalFiles']> {
  const saved: Manifest['externalFiles'] = [];
  for (const setting of SETTINGS) {
    const path = facts.settings[setting];
    if (path === undefined || !isOutside(path, facts.dataDirectory)) continue;
    try {
      const content = await files.readSmallFile(path, FILE_BYTES_MAX);
      if (content === null)
        warn(`${setting} ${path} lies outside the data directory and is not there`);
      else saved.push({ setting, path, content: content.toString('base64') });
    } catch (error) {
      warn(
        `${setting} ${path} lies outside the data directory and cannot be read, so the backup does not hold it ` +
          `(${messageOf(error)})`,
      );
    }
  }
  return saved;
}

function isOutside(path: string, dataDirectory: string | null): boolean {
  return isAbsolute(path) && dataDirectory !== null && !path.startsWith(`${dataDirectory}/`);
}
