import type { ErrorDocument } from '../../api/contract.ts';
import { hasCode, messageOf, WalnutError } from '../../lib/walnut-error.ts';

/** A chain of causes longer than this tells a person nothing more. */
const CAUSES_MAX = 5;

/** What is reported for anything thrown; work cut short by a signal is reported as the interruption it is. */
export function toReported(thrown: unknown, signal: AbortSignal): WalnutError {
  if (signal.aborted && isAbort(thrown, signal) && hasCode(signal.reason, 'interrupted')) {
    return signal.reason;
  }
  if (thrown instanceof WalnutError) return thrown;
  return new WalnutError('failed', messageOf(thrown), {
    hint: 'This error was not foreseen: please report it with what WALNUT_DEBUG=1 prints.',
    cause: thrown,
  });
}

function isAbort(thrown: unknown, signal: AbortSignal): boolean {
  if (thrown === signal.reason) return true;
  return thrown instanceof Error && thrown.name === 'AbortError';
}

/** Message, cause and hint for standard error. */
export function renderError(error: WalnutError): string {
  const cause = causeText(error);
  const lines = [`walnut: ${error.message}`];
  if (cause !== null) lines.push(`  cause: ${cause}`);
  if (error.hint !== undefined) lines.push(`  hint: ${error.hint}`);
  return lines.join('\n');
}

export function errorDocumentOf(error: WalnutError): ErrorDocument {
  const { code, message, hint = null } = error;
  return { error: { code, message, hint, cause: causeText(error) } };
}

/** The causes' messages, outermost first, without those the message already repeats. */
function causeText(error: WalnutError): string | null {
  const messages: string[] = [];
  let told = error.message;
  let cause: unknown = error.cause;
  for (let depth = 0; depth < CAUSES_MAX && cause !== undefined && cause !== null; depth += 1) {
    const message = messageOf(cause);
    if (message !== '' && !told.includes(message)) messages.push(message);
    told += message;
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return messages.length === 0 ? null : messages.join(': ');
}
