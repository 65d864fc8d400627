import { expect, test } from 'vitest';
import { parentFile } from './timeline-files.ts';

// As writeTimeLineHistory writes them: the parent's file, an empty line, the new line.
const SECOND = '1\t0/3000060\tno recovery target specified\n';
const THIRD = `${SECOND}\n2\t0/5000028\tbefore 2026-11-22 19:15:00+00\n`;
const FOURTH = `${THIRD}\n3\t0/7000000\tat restore point "x"\n`;

test.each([
  ['timeline 3', FOURTH, THIRD],
  ['timeline 2', THIRD, SECOND],
])('the file of %s is found byte for byte in its child', (_name, child, parent) => {
  expect(parentFile(Buffer.from(child)).toString()).toBe(parent);
});
