import { describe, expect, test } from 'vitest';
import type { ObjectWriter } from '../storage/object-store.ts';
import { PART_BYTES, PartWriter } from './part-writer.ts';

/** A writer whose parts end when the test says so; it copies each only then, as a disk does. */
function slowWriter(): {
  readonly writer: ObjectWriter;
  readonly written: Buffer[];
  readonly waiting: { end(error?: Error): void }[];
} {
  const written: Buffer[] = [];
  const waiting: { end(error?: Error): void }[] = [];
  const writer: ObjectWriter = {
    writePart: async (part) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      waiting.push({
        end: (error) => {
          written.push(Buffer.from(part));
          if (error === undefined) resolve();
          else reject(error);
        },
      });
      return promise;
    },
    commit: async () => {},
    abort: async () => {},
  };
  return { writer, written, waiting };
}

function fill(bytes: number, value: number): Buffer {
  return Buffer.alloc(bytes, value);
}

describe('a part writer', () => {
  test('takes bytes while a part is written, and leaves that part alone', async () => {
    const { writer, written, waiting } = slowWriter();
    const parts = new PartWriter(writer);
    await parts.append(fill(PART_BYTES, 1));
    await parts.append(fill(PART_BYTES - 1, 2));
    expect(waiting).toHaveLength(1);
    waiting[0]?.end();
    const finished = parts.finish();
    await expect.poll(() => waiting.length).toBe(2);
    waiting[1]?.end();
    await finished;
    expect(parts.bytes).toBe(2 * PART_BYTES - 1);
    const whole = Buffer.concat([fill(PART_BYTES, 1), fill(PART_BYTES - 1, 2)]);
    expect(Buffer.concat(written).equals(whole)).toBe(true);
  });

  test('does not run ahead by more than one part', async () => {
    const { writer, waiting } = slowWriter();
    const parts = new PartWriter(writer);
    await parts.append(fill(PART_BYTES + 10, 1));
    let isDone = false;
    const wait = async (): Promise<void> => {
      await parts.makeRoom(PART_BYTES - 10);
      isDone = true;
    };
    const second = wait();
    await new Promise(setImmediate);
    expect(isDone).toBe(false);
    waiting[0]?.end();
    await second;
    await parts.abandon();
  });

  test('meets the failure of a part at the next wait, and every wait after it', async () => {
    const { writer, waiting } = slowWriter();
    const parts = new PartWriter(writer);
    await parts.append(fill(PART_BYTES, 1));
    waiting[0]?.end(new Error('disk full'));
    await expect(parts.makeRoom(PART_BYTES)).rejects.toThrow('disk full');
    await expect(parts.finish()).rejects.toThrow('disk full');
    await parts.abandon();
  });

  test('gives buffers to the next writer only when nothing is written from them', async () => {
    const { writer, written, waiting } = slowWriter();
    const first = new PartWriter(writer);
    await first.append(fill(PART_BYTES, 1));
    const abandoned = first.abandon();
    const second = new PartWriter(slowWriter().writer);
    await second.append(fill(PART_BYTES + 1, 9));
    waiting[0]?.end();
    await abandoned;
    expect(written[0]?.equals(fill(PART_BYTES, 1))).toBe(true);
  });
});
