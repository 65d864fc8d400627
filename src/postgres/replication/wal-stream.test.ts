import { describe, expect, test } from 'vitest';
import { frame, type ExchangeReceiver, type RawExchange } from '../connection/raw-exchange.ts';
import type { Session } from '../connection/session.ts';
import { WIRE, WireFramer } from '../connection/wire-framer.ts';
import { toLsn } from '../lsn.ts';
import { toTimelineId } from '../timeline-id.ts';
import { BatchMemory } from './batch-memory.ts';
import { startWalStream, type WalStream } from './wal-stream.ts';

const HEADER = Buffer.from('77000000010200000000000001030000000002f1b9a7c40000', 'hex');
const START = 0x1_0200_0000n;
const KEEPALIVE = Buffer.from('6b00000001030000000002f1b9a7c4000000', 'hex');
const FIRST = Buffer.from('the first bytes of WAL');
const SECOND = Buffer.from('and the ones behind them');

/** A stream whose network is the answered function. */
async function startStream(): Promise<{
  stream: WalStream;
  arrive: (bytes: Buffer) => void;
  calls: string[];
}> {
  let receiver: ExchangeReceiver | undefined;
  const calls: string[] = [];
  const exchange = {
    pause: () => calls.push('pause'),
    resume: () => calls.push('resume'),
    destroy: (error: Error) => {
      calls.push('destroy');
      receiver?.finished(error);
    },
  } as unknown as RawExchange;
  const session = {
    exchange: (_command: string, given: ExchangeReceiver) => {
      receiver = given;
      return exchange;
    },
  } as unknown as Session;
  const starting = startWalStream(session, {
    start: toLsn(START),
    timeline: toTimelineId(1),
    memory: new BatchMemory(1024),
  });
  const framer = new WireFramer({
    message: (type, body) => receiver?.message(type, body),
    copyData: (part, position) => receiver?.copyData?.(part, position),
  });
  framer.push(frame(WIRE.copyBothResponse, Buffer.alloc(3)));
  return { stream: await starting, arrive: (bytes) => framer.push(bytes), calls };
}

function walData(start: bigint, bytes: Buffer): Buffer {
  const header = Buffer.from(HEADER);
  header.writeBigUInt64BE(start, 1);
  return frame(WIRE.copyData, Buffer.concat([header, bytes]));
}

const messages = Buffer.concat([
  walData(START, FIRST),
  frame(WIRE.copyData, KEEPALIVE),
  walData(START + BigInt(FIRST.length), SECOND),
]);

describe('a WAL stream', () => {
  test('hands on the same WAL wherever the network cuts it', async () => {
    for (let cut = 1; cut < messages.length; cut += 1) {
      for (const length of [1, 3, messages.length]) {
        const { stream, arrive } = await startStream();
        arrive(messages.subarray(0, cut));
        for (let at = cut; at < messages.length; at += length) {
          arrive(messages.subarray(at, at + length));
        }
        const parts: Buffer[] = [];
        let next = START;
        let keepalives = 0;
        for (const message of await stream.readBatch()) {
          expect(message.walEnd).toBe(0x1_0300_0000n);
          if (message.kind === 'keepalive') {
            keepalives += 1;
            continue;
          }
          expect(message.start).toBe(next);
          next += BigInt(message.bytes.length);
          parts.push(message.bytes);
        }
        expect(Buffer.concat(parts)).toEqual(Buffer.concat([FIRST, SECOND]));
        expect(keepalives).toBe(1);
      }
    }
  });

  test('wakes its reader once a message is whole', async () => {
    const { stream, arrive } = await startStream();
    const batch = stream.readBatch();
    const message = walData(START, FIRST);
    arrive(message.subarray(0, 40));
    arrive(message.subarray(40));
    const bytes = (await batch).map((part) => (part.kind === 'wal' ? part.bytes.length : 0));
    expect(bytes).toEqual([40 - 5 - HEADER.length, FIRST.length - (40 - 5 - HEADER.length)]);
  });

  test('a batch stays as it is until the next one is read, whatever arrives', async () => {
    const { stream, arrive } = await startStream();
    const socketBuffer = walData(START, FIRST);
    arrive(socketBuffer);
    const [message] = await stream.readBatch();
    socketBuffer.fill(0);
    for (let at = FIRST.length; at < 900; at += SECOND.length) {
      arrive(walData(START + BigInt(at), SECOND));
    }
    expect(message).toMatchObject({ kind: 'wal', bytes: FIRST });
  });

  test('what is more than its memory holds is handed on all the same', async () => {
    const { stream, arrive } = await startStream();
    const much = Buffer.alloc(400_000, 'WAL ');
    arrive(walData(START, much));
    arrive(walData(START + 400_000n, FIRST));
    const parts = await stream.readBatch();
    const bytes = parts.map((part) => (part.kind === 'wal' ? part.bytes : Buffer.alloc(0)));
    expect(Buffer.concat(bytes).equals(Buffer.concat([much, FIRST]))).toBe(true);
  });

  test('a message longer than the queue may be is read before it is whole', async () => {
    const { stream, arrive, calls } = await startStream();
    const batch = stream.readBatch();
    arrive(walData(START, Buffer.alloc(4000)).subarray(0, 2000));
    expect((await batch).length).toBe(1);
    expect(calls).toEqual(['pause', 'resume']);
  });

  test('what is no WAL stream ends it, also when it comes in pieces', async () => {
    const { stream, arrive, calls } = await startStream();
    const message = frame(WIRE.copyData, Buffer.concat([KEEPALIVE, Buffer.alloc(50)]));
    arrive(message.subarray(0, 20));
    arrive(message.subarray(20, 60));
    expect(calls).toEqual(['destroy']);
    await expect(stream.readBatch()).rejects.toThrow(/keepalive/);
  });
});
