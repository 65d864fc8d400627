import { z } from 'zod';
import { parseRevision, serverKeys } from '../repository/layout.ts';
import type { Incarnation } from '../repository/repository.ts';
import { openObject } from '../repository/sealed-object.ts';
import { faultOf } from './fault.ts';
import { countObject, type VerifyRun } from './verify-run.ts';

const RECORD_BYTES_MAX: number = 4 * 1024 * 1024;

const recordSchema = z.looseObject({
  incarnations: z.array(
    z.looseObject({
      systemIdentifier: z.string(),
      majorVersion: z.int(),
      walSegmentBytes: z.int(),
      firstSeenAt: z.string(),
    }),
  ),
});

export type CheckedRecords = {
  /** Of the newest valid revision; empty when there is none. */
  readonly incarnations: readonly Incarnation[];
  readonly damagedKeys: readonly string[];
};

/** Checks every revision of a server's record. */
export async function checkRecords(run: VerifyRun, server: string): Promise<CheckedRecords> {
  const { store } = run.options;
  const names = await store.listFolder(serverKeys.folder(server));
  const revisions = names
    .flatMap((name) => (name.startsWith('server-') ? (parseRevision(name) ?? []) : []))
    .toSorted((first, second) => second - first);
  let incarnations: readonly Incarnation[] | null = null;
  const damagedKeys: string[] = [];
  for (const revision of revisions) {
    const key = serverKeys.record(server, revision);
    try {
      const stored = await store.get(key, RECORD_BYTES_MAX);
      const { plain } = openObject(stored, 'server', key);
      const record = recordSchema.parse(JSON.parse(plain.toString('utf8')));
      incarnations ??= record.incarnations;
      countObject(run, stored.length);
    } catch (error) {
      run.ledger.add(key, faultOf(error));
      damagedKeys.push(key);
    }
  }
  const isRecordLost =
    revisions.length === 0 && names.some((name) => /^(backup|wal)\/$/.test(name));
  if (isRecordLost) {
    const key = serverKeys.record(server, 1);
    run.ledger.add(key, 'missing');
    damagedKeys.push(key);
  }
  for (const key of damagedKeys) {
    run.ledger.hit(key, [], { what: `what is known of server ${server}: its incarnations` });
  }
  return { incarnations: incarnations ?? [], damagedKeys };
}
