import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { renderConfigurationReference } from '../config/reference.ts';
import { renderCliReference } from './reference.ts';

test.each([
  ['cli.md', renderCliReference],
  ['configuration.md', renderConfigurationReference],
])('docs/reference/%s is what scripts/write-reference.ts writes', async (name, render) => {
  const page = readFileSync(new URL(`../../docs/reference/${name}`, import.meta.url), 'utf8');
  expect(page).toBe(await render());
});
