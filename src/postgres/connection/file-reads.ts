/**
 * Reads stretches of the server's files over SQL. The statement is constant and the paths travel by `set_config`, so that
 * the server's log and pg_stat_statements stay clean, and COPY carries the bytes, which `pg` would spoil as a column.
 */
import { WalnutError } from '../../lib/walnut-error.ts';
import { BinaryCopyParser } from './binary-copy.ts';
import type { Session } from './session.ts';

export type ServerRange = {
  /** Relative to the data directory. */
  readonly path: string;
  readonly offset: number;
  readonly length: number;
};

export type ServerRangeSink = {
  /** At least the range's length; valid until `received` has returned. */
  bufferFor(index: number): Uint8Array;
  /** Fewer bytes than asked: the file ends there; null: it is gone. Awaited before the next range. */
  received(index: number, byteCount: number | null): void | Promise<void>;
};

const SET = "SELECT set_config('walnut.ranges', $1, false)";
/** Ordered by the array, which `unnest … WITH ORDINALITY` alone does not promise. */
const COPY = `COPY (
  SELECT pg_read_binary_file(r.path, r.pos, r.len, true)
    FROM ROWS FROM (jsonb_to_recordset(current_setting('walnut.ranges')::jsonb) AS (path text, pos bigint, len bigint))
         WITH ORDINALITY AS r(path, pos, len, n) ORDER BY n
  ) TO STDOUT (FORMAT binary)`;
/** Ranges per statement: bounds the setting's length. */
const RANGES_MAX = 1000;

/** Calls the sink for every range, in their order. */
export async function readServerRanges(
  session: Session,
  ranges: readonly ServerRange[],
  sink: ServerRangeSink,
): Promise<void> {
  for (let first = 0; first < ranges.length; first += RANGES_MAX) {
    await readBatch(session, { ranges: ranges.slice(first, first + RANGES_MAX), first, sink });
  }
}

type Batch = {
  readonly ranges: readonly ServerRange[];
  readonly first: number;
  readonly sink: ServerRangeSink;
};

async function readBatch(session: Session, { ranges, first, sink }: Batch): Promise<void> {
  const wanted = ranges.map(({ path, offset, length }) => ({ path, pos: offset, len: length }));
  await session.query(SET, { parameters: [JSON.stringify(wanted)], act: 'name the files to read' });
  let index = first;
  let filled = 0;
  let isGone = false;
  const parser = new BinaryCopyParser({
    begin: (length) => {
      isGone = length === null;
      filled = 0;
      if (index - first >= ranges.length || (length ?? 0) > (ranges[index - first]?.length ?? 0)) {
        throw new WalnutError('postgresql', 'read files over SQL: the server sent more than asked');
      }
    },
    data: (part) => {
      sink.bufferFor(index).set(part, filled);
      filled += part.length;
    },
    end: async () => {
      await sink.received(index, isGone ? null : filled);
      index += 1;
    },
  });
  for await (const chunk of session.copyOut(COPY)) await parser.feed(chunk as Buffer);
  if (!parser.isDone || index - first !== ranges.length) {
    throw new WalnutError('postgresql', 'read files over SQL: the server sent less than asked');
  }
}
