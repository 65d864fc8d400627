import { describe, expect, test } from 'vitest';
import { createOutput } from './output.ts';

function streams(isTTY: boolean): {
  out: string[];
  err: string[];
  streams: Parameters<typeof createOutput>[0];
} {
  const out: string[] = [];
  const err: string[] = [];
  return {
    out,
    err,
    streams: {
      stdout: { write: (text) => void out.push(text) },
      stderr: { write: (text) => void err.push(text), isTTY, columns: 60 },
    },
  };
}

describe('createOutput', () => {
  test('draws progress on a terminal and moves it out of the way of lines', () => {
    const { out, err, streams: all } = streams(true);
    const output = createOutput(all, { json: false });
    output.startProgress('copy').update(1, 2);
    err.length = 0;
    output.note('warning');
    expect(err[0]).toBe('\r\u001B[K');
    expect(err[1]).toBe('warning\n');
    expect(err[2]).toContain('copy');
    output.stopProgress();
    err.length = 0;
    output.print('done');
    expect(err.join('')).toBe('');
    expect(out).toEqual(['done\n']);
  });

  test.each([
    ['without a terminal', false, false],
    ['with --json', true, true],
  ])('draws nothing %s', (_, isTTY, json) => {
    const { err, streams: all } = streams(isTTY);
    const output = createOutput(all, { json });
    output.startProgress('copy').update(1, 2);
    output.stopProgress();
    expect(err).toEqual([]);
  });

  test('prints an event as one JSON line or as text', () => {
    const asJson = streams(false);
    createOutput(asJson.streams, { json: true }).event({ event: 'stopped' }, 'it stopped');
    expect(asJson.out).toEqual(['{"event":"stopped"}\n']);
    const asText = streams(false);
    createOutput(asText.streams, { json: false }).event({ event: 'stopped' }, 'it stopped');
    expect(asText.out).toEqual(['it stopped\n']);
  });
});
