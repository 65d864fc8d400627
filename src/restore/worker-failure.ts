import { ERROR_CODES, messageOf, WalnutError, type ErrorCode } from '../lib/walnut-error.ts';

/** An error as it travels from a worker thread: structured clone keeps neither its class nor its fields. */
export type WorkerFailure = {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;
};

export function packFailure(error: unknown): WorkerFailure {
  if (error instanceof WalnutError) {
    const { code, message, hint, details } = error;
    return { code, message, hint, details };
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : messageOf(error);
  return { code: 'failed', message: text, hint: undefined, details: {} };
}

export function unpackFailure(failure: WorkerFailure): WalnutError {
  const code = failure.code in ERROR_CODES ? failure.code : 'failed';
  return new WalnutError(code, failure.message, { hint: failure.hint, details: failure.details });
}
