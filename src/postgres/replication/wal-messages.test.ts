import { describe, expect, test } from 'vitest';
import { toLsn } from '../lsn.ts';
import { formatStandbyStatus, parseWalMessage } from './wal-messages.ts';

const HEADER_BYTES = 25;
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const wal = Buffer.concat([
  hex('77 0000000102000000 0000000103000000 0002f1b9a7c40000'),
  Buffer.from('wal bytes'),
]);
const keepalive = hex('6b fffffffffffffff8 0000000000000000 01');

describe('messages of a WAL stream', () => {
  test('WAL data has its place, the server position and its bytes', () => {
    expect(parseWalMessage(wal)).toMatchObject({
      kind: 'wal',
      start: 0x1_0200_0000n,
      walEnd: 0x1_0300_0000n,
      bytes: Buffer.from('wal bytes'),
    });
  });

  test('a keepalive counts time from 2000 and asks for a reply', () => {
    expect(parseWalMessage(keepalive)).toEqual({
      kind: 'keepalive',
      walEnd: 0xffff_ffff_ffff_fff8n,
      sentAt: new Date('2000-01-01T00:00:00Z'),
      replyRequested: true,
    });
    const quiet = Buffer.from(keepalive);
    quiet[17] = 0;
    expect(parseWalMessage(quiet)).toMatchObject({ replyRequested: false });
  });

  test('data may be empty, a cut header is refused', () => {
    expect(parseWalMessage(wal.subarray(0, HEADER_BYTES))).toMatchObject({
      bytes: Buffer.alloc(0),
    });
    for (let length = 1; length < HEADER_BYTES; length += 1) {
      expect(() => parseWalMessage(wal.subarray(0, length))).toThrow(/cut short/);
    }
  });

  test('a keepalive of another length is refused', () => {
    for (let length = 1; length < keepalive.length; length += 1) {
      expect(() => parseWalMessage(keepalive.subarray(0, length))).toThrow(/cut short/);
    }
    expect(() => parseWalMessage(Buffer.concat([keepalive, Buffer.alloc(1)]))).toThrow(/too long/);
  });

  test.each(['', 's', 'p', 'x'])('type "%s" is refused', (type) => {
    expect(() => parseWalMessage(Buffer.from(type))).toThrow(/unknown streaming message/);
  });

  test('a status update is laid out as the manual says', () => {
    const status = { write: toLsn(3n), flush: toLsn(2n), apply: toLsn(1n), replyRequested: true };
    const message = formatStandbyStatus(status, new Date('2000-01-01T00:00:00.001Z'));
    const expected =
      '64 00000026 72 0000000000000003 0000000000000002 0000000000000001 00000000000003e8 01';
    expect(message).toEqual(hex(expected));
  });
});
