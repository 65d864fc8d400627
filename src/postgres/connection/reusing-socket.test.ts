import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, Socket, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { makeReusingSocket, takeReads } from './reusing-socket.ts';

let folder: string;
let server: Server;
let theirs: Socket;
let ours: Socket;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'walnut-socket-'));
});
afterEach(async () => {
  ours.destroy();
  theirs.destroy();
  server.close();
  await rm(folder, { recursive: true });
});

async function connect(over: 'tcp' | 'unix'): Promise<void> {
  server = createServer();
  const path = join(folder, 'socket');
  if (over === 'unix') server.listen(path);
  else server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  ours = makeReusingSocket();
  if (over === 'unix') ours.connect(path);
  else ours.connect((server.address() as AddressInfo).port, '127.0.0.1');
  [theirs] = await accepted;
  await once(ours, 'connect');
}

/** Sends what arrives before anything else does. */
async function send(text: string): Promise<void> {
  const arrived = ours.bytesRead + text.length;
  theirs.write(text);
  await vi.waitFor(() => expect(ours.bytesRead).toBe(arrived));
}

describe.each(['tcp', 'unix'] as const)('a reusing socket over %s', (over) => {
  test('gives its listeners bytes that they may keep', async () => {
    await connect(over);
    const kept: Buffer[] = [];
    ours.on('data', (bytes: Buffer) => kept.push(bytes));
    await send('first');
    await send('other');
    expect(kept.map(String)).toEqual(['first', 'other']);
  });

  test('reads into the same memory for who takes reads, until they are given back', async () => {
    await connect(over);
    const taken: Buffer[] = [];
    const seen: string[] = [];
    const heard: string[] = [];
    ours.on('data', (bytes: Buffer) => heard.push(String(bytes)));
    const take = (bytes: Buffer): void => {
      taken.push(bytes);
      seen.push(String(bytes));
    };
    expect(takeReads(ours, take)).toBe(true);
    await send('first');
    await send('other');
    expect(seen).toEqual(['first', 'other']);
    expect(taken.map(String)).toEqual(['other', 'other']);
    takeReads(ours, null);
    await send('third');
    expect(heard).toEqual(['third']);
  });

  test('brings nothing while it is paused, and everything afterwards', async () => {
    await connect(over);
    let bytes = 0;
    ours.on('data', () => {});
    takeReads(ours, (read) => {
      bytes += read.length;
      ours.pause();
    });
    const sent = 2 * 1024 * 1024;
    theirs.write(Buffer.alloc(sent));
    await vi.waitFor(() => expect(bytes).toBeGreaterThan(0));
    const before = bytes;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(bytes).toBe(before);
    takeReads(ours, (read) => {
      bytes += read.length;
    });
    ours.resume();
    await vi.waitFor(() => expect(bytes).toBe(sent));
  });

  test('tells when the other side is gone', async () => {
    await connect(over);
    ours.on('data', () => {});
    theirs.end();
    await once(ours, 'close');
    expect(ours.destroyed).toBe(true);
  });
});

test('other sockets do not lend their memory', () => {
  expect(takeReads(new Socket(), () => {})).toBe(false);
});
