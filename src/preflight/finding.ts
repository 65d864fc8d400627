import { messageOf, WalnutError } from '../lib/walnut-error.ts';

/** Where a fix is to be made. */
export type FixKind = 'sql' | 'pg_hba.conf' | 'setting' | 'other';

/** One precondition, and what to do when it does not hold. */
export type Finding = {
  readonly name: string;
  readonly passed: boolean;
  readonly detail: string;
  /** What to type or change; null when it passed. */
  readonly fix: string | null;
  readonly fixKind: FixKind;
};

export type Fix = { readonly kind: FixKind; readonly text: string };

export function pass(name: string, detail: string): Finding {
  return { name, passed: true, detail, fix: null, fixKind: 'other' };
}

export function fail(name: string, detail: string, fix: Fix): Finding {
  return { name, passed: false, detail, fix: fix.text, fixKind: fix.kind };
}

/** What an error says about a precondition: its hint is the fix. Rethrows when the work was interrupted. */
export function failedBy(name: string, error: unknown, signal: AbortSignal): Finding {
  signal.throwIfAborted();
  const hint = error instanceof WalnutError ? error.hint : undefined;
  const text = hint ?? 'The detail says what the system answered.';
  return fail(name, messageOf(error), { kind: kindOf(text), text });
}

/** Hints of connection errors show the statement or line itself. */
function kindOf(hint: string): FixKind {
  if (/pg_hba\.conf/.test(hint)) return 'pg_hba.conf';
  return /\b(?:ALTER|CREATE) ROLE\b|\bGRANT\b/.test(hint) ? 'sql' : 'other';
}
