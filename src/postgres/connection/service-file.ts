import { WalnutError } from '../../lib/walnut-error.ts';
import { checkKeyword, type KeywordValues } from './connection-keywords.ts';

/**
 * The keywords of one `[service]` group of a pg_service.conf, or null when the file has no such group.
 * Source: `parseServiceFileInfo` in src/interfaces/libpq/fe-connect.c.
 */
export function parseServiceFile(
  text: string,
  service: string,
  path: string,
): KeywordValues | null {
  let values: KeywordValues | null = null;
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const where = `${path} line ${index + 1}`;
    if (line.startsWith('[')) {
      // The first group of that name counts, as in libpq.
      if (values !== null) break;
      if (line === `[${service}]`) values = new Map();
    } else if (values !== null) {
      const [name, value] = splitAssignment(line, where);
      if (!values.has(name)) values.set(name, value);
    }
  }
  return values;
}

function splitAssignment(line: string, where: string): [name: string, value: string] {
  const equals = line.indexOf('=');
  if (equals < 0) {
    throw new WalnutError('config', `read ${where}: expected keyword=value`);
  }
  const name = line.slice(0, equals).trim();
  if (name === 'service' || name === 'servicefile') {
    throw new WalnutError('config', `read ${where}: "${name}" may not stand inside a service`);
  }
  checkKeyword(name, where);
  return [name, line.slice(equals + 1).trim()];
}
