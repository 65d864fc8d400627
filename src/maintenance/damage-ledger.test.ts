import { expect, test } from 'vitest';
import { DamageLedger } from './damage-ledger.ts';

const blocks = (firstBlock: number, lastBlock: number) => ({ firstBlock, lastBlock });

function affects(ledger: DamageLedger): readonly string[] {
  return ledger.report()[0]?.affects ?? [];
}

test('blocks that several backups have of one frame are told once', () => {
  const ledger = new DamageLedger(() => {});
  ledger.add('pack', 'a flipped bit');
  const hit = (backup: string, first: number, last: number): void =>
    ledger.hit('pack', [backup], { what: 'base/5/1', where: blocks(first, last) });
  hit('one', 100, 131);
  for (const block of [105, 110, 111]) hit('two', block, block);
  hit('three', 132, 140);
  hit('three', 7, 7);
  expect(affects(ledger)).toEqual(['base/5/1: block 7, blocks 100–140']);
  expect(ledger.report()[0]?.backups).toEqual(['one', 'three', 'two']);
});

test('what has no place is named alone, and beyond forty files only their number is told', () => {
  const ledger = new DamageLedger(() => {});
  ledger.add('pack', 'cut');
  for (let number = 1; number <= 45; number += 1) {
    ledger.hit('pack', ['one'], { what: `file ${number}` });
    ledger.hit('pack', ['two'], { what: `file ${number}` });
  }
  expect(affects(ledger).slice(0, 2)).toEqual(['file 1', 'file 2']);
  expect(affects(ledger).length).toBe(41);
  expect(affects(ledger).at(-1)).toBe('and 10 more');
});
