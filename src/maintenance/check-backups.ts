import { decodeMapChunk } from '../repository/map-chunk.ts';
import { damaged } from '../repository/object-header.ts';
import { openObject } from '../repository/sealed-object.ts';
import { checkMapChunk, type LostFrames, type MapCheck } from './check-map.ts';
import { streamSealedObject } from '../repository/sealed-stream.ts';
import type { CheckVerdict, PackTask } from './check-task.ts';
import { faultOf } from './fault.ts';
import { FileContents } from './file-contents.ts';
import type { LoadedBackups } from './load-backups.ts';
import { PackSummaries } from './pack-summaries.ts';
import type { ServerScan } from './scan-server.ts';
import { countObject, type VerifyRun } from './verify-run.ts';

const CHUNK_BYTES_MAX: number = 64 * 1024 * 1024;

/** Checks packs and answers which frames are lost, by pack. */
export async function checkPacks(
  run: VerifyRun,
  loaded: LoadedBackups,
  packs: ServerScan['packs'],
): Promise<Map<string, LostFrames>> {
  const lost = new Map<string, LostFrames>();
  const tasks = [...packs.keys()].map((key): PackTask => {
    const expectedBytes = loaded.packs.get(key)?.storedBytes ?? null;
    return { kind: 'pack', key, expectedBytes, readsFrames: run.takes(key) };
  });
  await run.lanes.run(tasks, ({ key }, verdict) => {
    const isNamed = loaded.packs.has(key);
    if (verdict.fault === 'missing' && !isNamed) return;
    if (verdict.fault !== 'missing') countObject(run, verdict.bytes);
    const reason = reasonOf(verdict);
    if (reason === null) return;
    run.ledger.add(key, reason);
    lost.set(key, verdict.fault === null ? new Set(verdict.frames.map(frameOf)) : 'all');
  });
  for (const key of loaded.packs.keys()) {
    if (packs.has(key) || (await run.options.store.stat(key)) !== null) continue;
    run.ledger.add(key, 'missing');
    lost.set(key, 'all');
  }
  return lost;
}

/** Checks all map chunks that manifests name, and says which files of which backups are lost in damaged packs. */
export async function checkChunks(
  run: VerifyRun,
  { chunks, packs }: LoadedBackups,
  lost: ReadonlyMap<string, LostFrames>,
): Promise<void> {
  const { ledger, signal, takes, options } = run;
  const { store } = options;
  const summaries = new PackSummaries(store);
  const contents = new FileContents(store);
  const check: MapCheck = { store, ledger, summaries, contents, packs, lost, takes, signal };
  for (const use of chunks.values()) {
    await checkMapChunk(check, use);
    countObject(run, use.reference.storedBytes);
  }
}

/** Checks what lies under `backup/` and no manifest names: leftovers of dead attempts, or a backup at work. */
export async function checkStrayObjects(
  run: VerifyRun,
  strays: ServerScan['strays'],
): Promise<void> {
  const { store } = run.options;
  for (const { key, sizeBytes, kind } of strays) {
    run.signal.throwIfAborted();
    try {
      if (kind === 'attempt') await streamSealedObject(store, { key, kind });
      else await checkStrayChunk(run, key);
      countObject(run, sizeBytes);
    } catch (error) {
      const reason = faultOf(error);
      if (reason === 'missing') continue;
      run.ledger.add(key, reason);
      run.ledger.hit(key, [], { what: 'nothing that a backup needs' });
    }
  }
}

async function checkStrayChunk({ options }: VerifyRun, key: string): Promise<void> {
  const { plain, header } = openObject(await options.store.get(key, CHUNK_BYTES_MAX), 'map', key);
  const hash = Buffer.from(header.plainHash).toString('hex');
  if (!key.endsWith(`/map-${hash.slice(0, 32)}`)) throw damaged(key, 'it is another map');
  decodeMapChunk(plain, key);
}

function reasonOf({ fault, frames }: CheckVerdict): string | null {
  if (fault !== null) return fault;
  const [first, ...others] = frames;
  if (first === undefined) return null;
  return others.length === 0
    ? first.reason
    : `${first.reason}, and ${others.length} more of its frames are damaged`;
}

function frameOf({ frame }: { readonly frame: number }): number {
  return frame;
}
