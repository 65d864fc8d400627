import { expect, test } from 'vitest';
import { parseLsn } from '../lsn.ts';
import { toTimelineId } from '../timeline-id.ts';
import { quoteLiteral, quoteSlot, startReplicationCommand } from './commands.ts';

test.each(['Walnut', 'a-b', '', 'a"; DROP', 'x'.repeat(64)])(
  'slot name "%s" is refused',
  (name) => {
    expect(() => quoteSlot(name)).toThrow(/not a valid name/);
  },
);

test('streaming starts from a slot or without one', () => {
  const from = { start: parseLsn('1/2000000'), timeline: toTimelineId(3) };
  expect(startReplicationCommand({ ...from, slot: 'walnut_1' })).toBe(
    'START_REPLICATION SLOT "walnut_1" PHYSICAL 1/2000000 TIMELINE 3',
  );
  expect(startReplicationCommand({ ...from, slot: null })).toBe(
    'START_REPLICATION PHYSICAL 1/2000000 TIMELINE 3',
  );
});

test('literals double their quotes', () => {
  expect(quoteLiteral("it's")).toBe("'it''s'");
});
