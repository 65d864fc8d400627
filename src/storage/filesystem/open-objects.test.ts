import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { OpenObjects } from './open-objects.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'walnut-open-'));
  for (const name of ['a', 'b', 'c']) writeFileSync(join(folder, name), `content of ${name}`);
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function content(handle: FileHandle): Promise<string> {
  const bytes = Buffer.alloc(100);
  const { bytesRead } = await handle.read(bytes, 0, 100, 0);
  return bytes.toString('utf8', 0, bytesRead);
}

/** Names of the folder's files that this process has open, once for each descriptor. */
function openNames(): string[] {
  return readdirSync('/proc/self/fd')
    .flatMap((descriptor) => {
      try {
        return readlinkSync(`/proc/self/fd/${descriptor}`);
      } catch {
        return [];
      }
    })
    .filter((path) => path.startsWith(`${folder}/`))
    .map((path) => path.slice(folder.length + 1))
    .toSorted();
}

test('those used last stay open, until all are closed', async () => {
  const objects = new OpenObjects(2);
  for (const name of ['a', 'b', 'a', 'c', 'c']) {
    expect(await objects.use(join(folder, name), content)).toBe(`content of ${name}`);
  }
  expect(openNames()).toEqual(['a', 'c']);
  await objects.close();
  expect(openNames()).toEqual([]);
});

test('one that is being read is not closed for others', async () => {
  const objects = new OpenObjects(1);
  const gate = Promise.withResolvers<void>();
  const slow = objects.use(join(folder, 'a'), async (handle) => {
    await gate.promise;
    return content(handle);
  });
  await objects.use(join(folder, 'b'), content);
  await objects.use(join(folder, 'c'), content);
  expect(openNames()).toContain('a');
  gate.resolve();
  expect(await slow).toBe('content of a');
  expect(openNames()).toHaveLength(1);
  await objects.close();
});

test('what was not there is looked for again', async () => {
  const objects = new OpenObjects(2);
  const path = join(folder, 'later');
  await expect(objects.use(path, content)).rejects.toMatchObject({ code: 'ENOENT' });
  writeFileSync(path, 'here');
  expect(await objects.use(path, content)).toBe('here');
  await objects.close();
});
