import { WalnutError } from '../../lib/walnut-error.ts';
import { formatLsn, minLsn, parseLsn, type Lsn } from '../lsn.ts';
import { extentOf, timelineAt, type LsnRange, type TimelineHistory } from '../timeline-history.ts';
import { toTimelineId } from '../timeline-id.ts';
import { ChangeMap } from '../wal/change-map.ts';
import { sqlStateOf } from './error-mapping.ts';
import type { Session } from './session.ts';

/** WAL in [from, to) along a history. */
export type SummarySpan = {
  readonly history: TimelineHistory;
  readonly from: Lsn;
  readonly to: Lsn;
};

/** A `gap` begins where no summary covers the range, or says why summaries cannot be read at all. */
export type SummarizedChanges =
  | { readonly kind: 'known'; readonly map: ChangeMap }
  | { readonly kind: 'gap'; readonly from: Lsn; readonly reason: string };

const FIRST_MAJOR = 17;

/**
 * Which pages changed, by the server's own WAL summaries (17 and later, `summarize_wal = on`). They may say more than asked
 * at both ends. They say nothing about custom resource managers that change files without block references; else the same
 * as WAL itself. Every role may call the two functions, unless EXECUTE was revoked.
 */
export async function readWalSummaries(
  session: Session,
  span: SummarySpan,
): Promise<SummarizedChanges> {
  const gap = (reason: string, from = span.from): SummarizedChanges => ({
    kind: 'gap',
    from,
    reason,
  });
  if (session.majorVersion < FIRST_MAJOR) {
    return gap(`PostgreSQL ${session.majorVersion} makes no WAL summaries`);
  }
  try {
    const chosen = chooseSummaries(await listSummaries(session), span);
    if (chosen.missingFrom !== null) {
      const place = formatLsn(chosen.missingFrom);
      return gap(`the server has no WAL summary from ${place} on`, chosen.missingFrom);
    }
    const map = new ChangeMap();
    for (const summary of chosen.summaries) await addSummary(session, summary, map);
    return { kind: 'known', map };
  } catch (error) {
    if (!(error instanceof WalnutError)) throw error;
    // 58P01: the server removed it meanwhile (wal_summary_keep_time). 42501: EXECUTE was revoked.
    if (!['58P01', '42501'].includes(sqlStateOf(error) ?? '')) throw error;
    return gap(error.message);
  }
}

/** The fewest summaries that cover a range without a hole, in order, or where the first hole is. */
export function chooseSummaries(
  available: readonly LsnRange[],
  { history, from, to }: SummarySpan,
): { readonly summaries: readonly LsnRange[]; readonly missingFrom: Lsn | null } {
  const summaries: LsnRange[] = [];
  let at = from;
  while (at < to) {
    const position = at;
    const timeline = timelineAt(history, position);
    const [first, ...others] = available.filter(
      (summary) =>
        summary.timeline === timeline && summary.start <= position && position < summary.end,
    );
    if (first === undefined) return { summaries, missingFrom: position };
    const best = others.reduce(
      (longest, other) => (other.end > longest.end ? other : longest),
      first,
    );
    summaries.push(best);
    at = minLsn(best.end, extentOf(history, timeline)?.end ?? best.end);
  }
  return { summaries, missingFrom: null };
}

async function listSummaries(session: Session): Promise<LsnRange[]> {
  const rows = await session.query<{ timeline: number; start: string; end: string }>(
    `SELECT tli::int4 AS timeline, start_lsn::text AS start, end_lsn::text AS "end"
     FROM pg_available_wal_summaries()`,
    { act: 'list the WAL summaries of the server' },
  );
  return rows.map(({ timeline, start, end }) => ({
    timeline: toTimelineId(timeline),
    start: parseLsn(start),
    end: parseLsn(end),
  }));
}

type SummaryRow = {
  readonly tablespaceOid: number;
  readonly databaseOid: number;
  readonly relfilenode: number;
  readonly fork: number;
  readonly isLimit: boolean;
  /** Numbers with commas between. */
  readonly blocks: string;
};

/** Blocks come in one row per 65536: a row per block would cost a hundred times its four bytes here. */
const CONTENTS = `
  SELECT reltablespace AS "tablespaceOid", reldatabase AS "databaseOid", relfilenode, relforknumber::int4 AS fork,
    is_limit_block AS "isLimit", string_agg(relblocknumber::text, ',') AS blocks
  FROM pg_wal_summary_contents($1::int8, $2::pg_lsn, $3::pg_lsn)
  GROUP BY 1, 2, 3, 4, 5, relblocknumber / 65536`;

async function addSummary(session: Session, summary: LsnRange, map: ChangeMap): Promise<void> {
  const { timeline, start, end } = summary;
  const rows = await session.query<SummaryRow>(CONTENTS, {
    parameters: [timeline, formatLsn(start), formatLsn(end)],
    act: `read the WAL summary from ${formatLsn(start)} to ${formatLsn(end)}`,
  });
  for (const row of rows) addRow(map, row);
}

function addRow(map: ChangeMap, row: SummaryRow): void {
  // A limit block of no relation stands for all files of the database in the tablespace.
  if (row.relfilenode === 0) return map.rewrite(row);
  for (const block of row.blocks.split(',')) {
    if (row.isLimit) map.limit(row, Number(block));
    else map.mark(row, Number(block));
  }
}
