import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planPiece, type StoredPiece } from './piece-plan.ts';

/** What is stored after a plan was carried out. */
function apply(stored: readonly StoredPiece[], end: number): readonly StoredPiece[] {
  const plan = planPiece(stored, end);
  if (plan === null) return stored;
  const kept = stored.filter((piece) => !plan.replaces.includes(piece));
  return [...kept, { offset: plan.offset, length: plan.length }];
}

describe('pieces of an open segment', () => {
  test('begin at its start', () => {
    expect(planPiece([], 100)).toEqual({ offset: 0, length: 100, replaces: [] });
  });

  test('are not stored when there is nothing new', () => {
    expect(planPiece([{ offset: 0, length: 100 }], 100)).toBeNull();
    expect(planPiece([{ offset: 0, length: 100 }], 60)).toBeNull();
    expect(planPiece([], 0)).toBeNull();
  });

  test('take in those that are not longer', () => {
    const stored = [
      { offset: 0, length: 100 },
      { offset: 100, length: 10 },
    ];
    expect(planPiece(stored, 120)).toEqual({ offset: 100, length: 20, replaces: [stored[1]] });
    expect(planPiece(stored, 300)?.replaces).toHaveLength(2);
  });

  test('hold every byte without a hole and stay few, however a segment grows', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5000 }), { maxLength: 500 }), (steps) => {
        let stored: readonly StoredPiece[] = [];
        let end = 0;
        for (const step of steps) {
          end += step;
          stored = apply(stored, end);
          let at = 0;
          for (const { offset, length } of stored) {
            expect(offset).toBe(at);
            at += length;
          }
          expect(at).toBe(end);
          expect(stored.length).toBeLessThanOrEqual(Math.log2(end) + 2);
        }
      }),
    );
  });
});
