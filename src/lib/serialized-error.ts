import { ERROR_CODES, messageOf, WalnutError, type ErrorCode } from './walnut-error.ts';

/** A thrown value in a form that crosses threads; classes and getters do not survive structured clone. */
export type SerializedError = {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string | null;
  readonly details: Readonly<Record<string, unknown>>;
  readonly cause: SerializedError | null;
};

export function serializeError(error: unknown): SerializedError {
  const cause = error instanceof Error ? error.cause : undefined;
  return {
    code: error instanceof WalnutError ? error.code : 'failed',
    message: messageOf(error),
    hint: error instanceof WalnutError ? (error.hint ?? null) : null,
    details: error instanceof WalnutError ? error.details : {},
    cause: cause === undefined ? null : serializeError(cause),
  };
}

export function deserializeError(error: SerializedError): WalnutError {
  return new WalnutError(error.code in ERROR_CODES ? error.code : 'failed', error.message, {
    hint: error.hint ?? undefined,
    details: error.details,
    cause: error.cause === null ? undefined : deserializeError(error.cause),
  });
}
