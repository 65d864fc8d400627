/** The server's own summaries of its WAL (17 and later), where the archive does not tell what changed. */
import { sleep } from '../lib/sleep.ts';
import {
  readWalSummaries,
  type SummarizedChanges,
  type SummarySpan,
} from '../postgres/connection/wal-summaries.ts';
import type { BackupContext } from './backup-context.ts';

const POLL_MS = 250;
/** The summarizer works in steps of a checkpoint, and the last one has just been made. */
const SUMMARY_WAIT_MS = 15_000;

export async function summarizedChanges(
  { connected, signal }: BackupContext,
  span: SummarySpan,
): Promise<SummarizedChanges> {
  const { session, facts } = connected;
  const none = (reason: string): SummarizedChanges => ({ kind: 'gap', from: span.from, reason });
  if (!facts.summarizesWal) return none('the server does not summarize its WAL');
  const custom = await session.query<{ name: string }>(
    'SELECT rm_name AS name FROM pg_get_wal_resource_managers() WHERE NOT rm_builtin',
    { act: 'list the resource managers of the server' },
  );
  if (custom.length > 0) {
    const names = custom.map(({ name }) => name).join(', ');
    return none(`the summaries may say nothing of resource manager ${names}`);
  }
  const deadline = Date.now() + SUMMARY_WAIT_MS;
  for (;;) {
    const found = await readWalSummaries(session, span);
    const isBegun = found.kind === 'gap' && found.from > span.from;
    if (!isBegun || Date.now() > deadline) return found;
    await sleep(POLL_MS, signal);
  }
}
