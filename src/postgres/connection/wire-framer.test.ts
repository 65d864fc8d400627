import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { frame } from './raw-exchange.ts';
import { WIRE, WireFramer } from './wire-framer.ts';

type Seen = { type: number; body: string };

/** Frames the chunks; parts of a CopyData message are joined again. */
function collect(chunks: readonly Buffer[]): Seen[] {
  const seen: Seen[] = [];
  let parts: Buffer[] | null = null;
  const framer = new WireFramer({
    message: (type, body) => {
      expect(parts).toBeNull();
      seen.push({ type, body: body.toString('hex') });
    },
    copyData: (part, { first, last }) => {
      expect(first).toBe(parts === null);
      parts = [...(parts ?? []), part];
      if (!last) return;
      seen.push({ type: WIRE.copyData, body: Buffer.concat(parts).toString('hex') });
      parts = null;
    },
  });
  for (const chunk of chunks) framer.push(chunk);
  return seen;
}

const message = fc.record({
  type: fc.constantFrom(WIRE.copyData, WIRE.dataRow, WIRE.commandComplete, WIRE.copyDone),
  body: fc.uint8Array({ maxLength: 40 }),
});

describe('wire framing', () => {
  test('gives the same messages however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(message), fc.array(fc.nat(400)), (messages, cuts) => {
        const stream = Buffer.concat(messages.map(({ type, body }) => frame(type, body)));
        const bounds = [0, ...cuts.filter((cut) => cut < stream.length), stream.length].toSorted(
          (first, second) => first - second,
        );
        const chunks = bounds
          .slice(1)
          .map((bound, index) => Buffer.from(stream.subarray(bounds[index], bound)));
        const expected = messages.map(({ type, body }) => ({
          type,
          body: Buffer.from(body).toString('hex'),
        }));
        expect(collect(chunks)).toEqual(expected);
      }),
    );
  });

  test('passes CopyData on without a copy', () => {
    const stream = frame(WIRE.copyData, Buffer.from('payload'));
    new WireFramer({
      message: () => {},
      copyData: (part) => {
        expect(part.buffer).toBe(stream.buffer);
        part[0] = 0x50;
      },
    }).push(stream);
    expect(stream.toString('latin1')).toContain('Payload');
  });

  test('gives back what follows the message at which it was stopped', () => {
    const framer = new WireFramer({ message: () => framer.stop(), copyData: () => {} });
    const rest = frame(WIRE.dataRow, Buffer.from('next'));
    expect(framer.push(Buffer.concat([frame(WIRE.readyForQuery, Buffer.from('I')), rest]))).toEqual(
      rest,
    );
  });

  test.each([
    ['too short', 'd', 3],
    ['negative', 'D', 0xffff_ffff],
    ['huge', 'D', 0x7fff_ffff],
  ])('refuses a length that is %s', (_, type, length) => {
    const header = Buffer.alloc(5);
    header.write(type, 'latin1');
    header.writeUInt32BE(length, 1);
    expect(() => collect([header])).toThrow(RangeError);
  });
});
