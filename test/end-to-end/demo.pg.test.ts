/** `walnut demo`: the story ends well, an interrupted one leaves nothing, and a kept one can be played with. */
import { chown, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import { demoDocument } from '../../src/api/contract.ts';
import { sleep } from '../../src/lib/sleep.ts';
import { makeScratchFolder, type ScratchFolder } from '../../src/sandbox/scratch-folder.ts';
import { isRoot, unprivilegedUser } from '../../src/sandbox/unprivileged-user.ts';
import { adoptCluster } from '../support/cluster.ts';
import { processesIn } from '../support/leftovers.ts';
import { pickOne, randomBelow, seededRandom } from '../support/random.ts';
import { runWalnut, spawnWalnut } from '../support/walnut.ts';

const DEMO_TIMEOUT_MS = 170_000;
const CHAPTERS = ['1.', '2.', '3.', '4.'];
const CHAPTER_MS = 1500;

let scratch: ScratchFolder;
beforeEach(async () => {
  const user = await unprivilegedUser();
  scratch = await makeScratchFolder(user, { prefix: 'walnut-test-' });
  if (isRoot()) await chown(scratch.path, user.uid, user.gid);
});
afterEach(async () => await scratch.remove());

async function leftovers(): Promise<string[]> {
  return [...(await readdir(scratch.path)), ...processesIn(scratch.path)];
}

describe('walnut demo', () => {
  test('tells its story to a good end, and leaves clusters that start with --keep', async () => {
    const result = await runWalnut(['demo', '--keep', '--json', '--folder', scratch.path], {
      asUser: 'self',
      timeoutMs: DEMO_TIMEOUT_MS,
    });
    expect(result).toMatchObject({ exitCode: 0 });
    const document = demoDocument.parse(result.json());
    expect(document).toMatchObject({
      passed: true,
      lostTransactions: 0,
      rowsAfter: document.rowsBefore,
      checksumAfter: document.checksumBefore,
      restore: { backup: document.backup.id },
    });
    expect(processesIn(scratch.path)).toEqual([]);
    const [kept = ''] = await readdir(scratch.path);
    const dataFolder = join(scratch.path, kept, 'restored');
    await using restored = await adoptCluster({ major: 18, dataFolder });
    await restored.server.start();
    expect(await restored.value('select count(*) from public.orders')).toBe(
      String(document.rowsBefore),
    );
  });

  test.each([
    { when: 'while its server is made', chapters: ['1.'] },
    { when: 'in any chapter', chapters: CHAPTERS },
  ])('leaves no process and no folder when it is interrupted $when', async ({ when, chapters }) => {
    const random = seededRandom(`${inject('testSeed')} demo ${when}`);
    const chapter = pickOne(random, chapters);
    const delayMs = randomBelow(random, CHAPTER_MS);
    const asUser = chapters === CHAPTERS ? 'self' : await unprivilegedUser();
    await using demo = await spawnWalnut(['demo', '--folder', scratch.path], { asUser });
    await demo.waitForLine(chapter, { timeoutMs: DEMO_TIMEOUT_MS });
    await sleep(delayMs);
    const result = await demo.stop('SIGINT');
    const moment = `chapter ${chapter} + ${delayMs} ms`;
    expect({ moment, ...result }).toMatchObject({ moment, exitCode: 130 });
    expect({ moment, left: await leftovers() }).toEqual({ moment, left: [] });
  });
});
