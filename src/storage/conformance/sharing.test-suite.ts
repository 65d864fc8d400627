import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';
import { bytes, keysBelow, outcome, OWNER, type StoreOf } from './support.test-suite.ts';

/** Runs in another thread or process: opens the store, does `act`, says what came of it, and stays. */
function script(description: unknown, act: string): string {
  const opener = new URL('../open-store.ts', import.meta.url).href;
  return `
    const { openStore } = await import(${JSON.stringify(opener)});
    const store = await openStore(${JSON.stringify(description)});
    const owner = { ...${JSON.stringify(OWNER)}, processId: process.pid };
    let kept;
    try { ${act}; console.log('done'); } catch (error) { console.log(error.code ?? error.stack); }
    setInterval(() => kept, 1000);
  `;
}

const TAKE_LEASE = `kept = await store.acquireLease('shop/lease/backup', owner)`;

async function runInProcess(source: string): Promise<{ said: string; child: ChildProcess }> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(async () => kill(child));
  const [said] = await once(child.stdout, 'data');
  return { said: String(said).trim(), child };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

async function runInThread(source: string): Promise<{ said: string; worker: Worker }> {
  const url = new URL(`data:text/javascript,${encodeURIComponent(source)}`);
  const worker = new Worker(url, { stdout: true });
  onTestFinished(async () => {
    await worker.terminate();
  });
  const [said] = await once(worker.stdout, 'data');
  return { said: String(said).trim(), worker };
}

export function testSharing(store: StoreOf): void {
  test('a lease held here is taken for another process and another thread', async () => {
    const lease = await store().acquireLease('shop/lease/backup', OWNER);
    const source = script(store().description, TAKE_LEASE);
    expect((await runInProcess(source)).said).toBe('locked');
    expect((await runInThread(source)).said).toBe('locked');
    // Once more, because a failed try of the thread could have dropped this process's lock.
    expect((await runInProcess(source)).said).toBe('locked');
    expect(await lease.isHeld()).toBe(true);
    await lease.release();
    expect((await runInProcess(source)).said).toBe('done');
  });

  test('reading, listing and deleting around a held lease do not loosen it', async () => {
    const lease = await store().acquireLease('shop/lease/backup', OWNER);
    for await (const { key, sizeBytes } of store().list('')) await store().get(key, sizeBytes);
    expect(await outcome(store().put('shop/lease/backup', bytes('x')))).toBe('object-exists');
    await store().put('shop/lease/x', bytes('x'));
    await store().delete('shop/lease/x');
    await store().delete('shop/lease/backup');
    const source = script(store().description, TAKE_LEASE);
    expect((await runInProcess(source)).said).toBe('locked');
    await lease.release();
  });

  test('kill -9 of the holder frees the lease at once, and its name is not shown any more', async () => {
    const { said, child } = await runInProcess(script(store().description, TAKE_LEASE));
    expect(said).toBe('done');
    const second = store().acquireLease('shop/lease/backup', OWNER);
    await expect(second).rejects.toMatchObject({
      code: 'locked',
      details: { owner: { ...OWNER, processId: child.pid } },
    });
    await kill(child);
    const lease = await store().acquireLease('shop/lease/backup', OWNER);
    expect(await lease.isHeld()).toBe(true);
    await lease.release();
  });

  test('the end of a thread frees its lease', async () => {
    const { said, worker } = await runInThread(script(store().description, TAKE_LEASE));
    expect(said).toBe('done');
    expect(await outcome(store().acquireLease('shop/lease/backup', OWNER))).toBe('locked');
    await worker.terminate();
    await (await store().acquireLease('shop/lease/backup', OWNER)).release();
  });

  test('kill -9 in the middle of a write leaves no object, and the key free', async () => {
    const act = `kept = await store.beginWrite('pack/1'); await kept.writePart(Buffer.alloc(1 << 20, 1))`;
    const { said, child } = await runInProcess(script(store().description, act));
    expect(said).toBe('done');
    await kill(child);
    expect(await keysBelow(store(), '')).toEqual([]);
    await store().put('pack/1', bytes('good'));
    expect(await store().get('pack/1', 100)).toEqual(bytes('good'));
  });

  test('of writers in several processes exactly one wins, whole', async () => {
    const startAt = Date.now() + 700;
    const act = `
      await new Promise((resolve) => setTimeout(resolve, ${startAt} - Date.now()));
      await store.put('race/key', Buffer.alloc(300_000, process.pid % 251))`;
    const source = script(store().description, act);
    const results = await Promise.all(Array.from({ length: 3 }, async () => runInProcess(source)));
    const winners = results.filter(({ said }) => said === 'done');
    expect(winners).toHaveLength(1);
    expect(results.map(({ said }) => said).toSorted()).toEqual([
      'done',
      'object-exists',
      'object-exists',
    ]);
    const expected = Buffer.alloc(300_000, (winners[0]?.child.pid ?? 0) % 251);
    expect((await store().get('race/key', 1 << 20)).equals(expected)).toBe(true);
  });
}
