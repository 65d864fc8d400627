import { WalnutError } from '../../lib/walnut-error.ts';
import type { Session } from '../connection/session.ts';
import type { Lsn } from '../lsn.ts';
import { identifySystem } from './commands.ts';
import { startWalStream, type WalStream } from './wal-stream.ts';

/** The server answers a requested reply at once; this is for slow networks. */
const ANSWER_TIMEOUT_MS = 30_000;
/** A stream ends before its first message only when the timeline does, just then. */
const ATTEMPTS_MAX = 3;
/** Says nothing about progress: a slot, or who waits for a synchronous standby, stays as it is. */
const NOTHING = 0n as Lsn;

/**
 * The server's clock, on a connection that takes replication commands only: streaming begins at the end of WAL, the
 * first message says when it was sent, and streaming stops.
 */
export async function readServerTime(session: Session): Promise<Date> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const { flushLsn, timeline } = await identifySystem(session);
    const stream = await startWalStream(session, { start: flushLsn, timeline });
    const sentAt = await firstMessageTime(stream);
    await finish(stream);
    if (sentAt !== null) return sentAt;
  }
  throw noAnswer();
}

async function firstMessageTime(stream: WalStream): Promise<Date | null> {
  stream.sendStatus({ write: NOTHING, flush: NOTHING, replyRequested: true });
  const [first] = await stream.readBatch({ timeoutMs: ANSWER_TIMEOUT_MS });
  if (first === undefined && stream.end === null) throw noAnswer();
  return first?.sentAt ?? null;
}

/** Reads what was on its way, so that the connection takes the next command. */
async function finish(stream: WalStream): Promise<void> {
  stream.stop();
  while (stream.end === null) {
    const rest = await stream.readBatch({ timeoutMs: ANSWER_TIMEOUT_MS });
    if (rest.length === 0 && stream.end === null) throw noAnswer();
  }
}

function noAnswer(): WalnutError {
  return new WalnutError('timeout', 'ask the server for its time: it did not answer', {
    hint: 'See the log of the server.',
  });
}
