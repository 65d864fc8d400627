import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The version in the installed package's package.json. */
export function productVersion(packageRoot: string): string {
  const text = readFileSync(join(packageRoot, 'package.json'), 'utf8');
  return (JSON.parse(text) as { readonly version: string }).version;
}
