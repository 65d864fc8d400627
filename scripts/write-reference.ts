/** Writes docs/reference/ from the declarations of options and commands. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { renderCliReference } from '../src/cli/reference.ts';
import { renderConfigurationReference } from '../src/config/reference.ts';

const folder = new URL('../docs/reference/', import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(new URL('cli.md', folder), await renderCliReference());
writeFileSync(new URL('configuration.md', folder), renderConfigurationReference());
