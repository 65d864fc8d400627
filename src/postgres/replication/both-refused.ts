import { WalnutError } from '../../lib/walnut-error.ts';
import { hbaLineOf } from '../connection/error-mapping.ts';

export type RefusedAttempt = {
  readonly error: WalnutError;
  /** How it was tried, such as "for replication". */
  readonly how: string;
};

/**
 * One error for two ways to connect that were both refused: it names both, and the fix of either. The first counts for
 * the code and for what callers look at.
 */
export function bothRefused(first: RefusedAttempt, second: RefusedAttempt): WalnutError {
  if (first.error.message === second.error.message) return first.error;
  const { code, details } = first.error;
  const [one, other] = [first.error.message, withoutTarget(second.error.message)];
  return new WalnutError(code, `${one} (${first.how}); ${other} (${second.how})`, {
    hint: hintOf(first, second),
    cause: new AggregateError([first.error, second.error]),
    details,
  });
}

function hintOf(first: RefusedAttempt, second: RefusedAttempt): string | undefined {
  const lines = [hbaLineOf(first.error), hbaLineOf(second.error)];
  if (lines.every((line) => line !== null)) {
    return (
      `Add one of these lines to pg_hba.conf (${first.how}, or ${second.how}), ` +
      `then SELECT pg_reload_conf();\n${lines.join('\n')}`
    );
  }
  const hints = [first, second].flatMap(({ error, how }) =>
    error.hint === undefined ? [] : [`To connect ${how}: ${error.hint}`],
  );
  return hints.length === 0 ? undefined : hints.join('\n');
}

/** Both messages begin with the same host. */
function withoutTarget(message: string): string {
  return message.replace(/^connect to \S+: /, '');
}
