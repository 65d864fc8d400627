/**
 * Every condition that Walnut reports by name, with the exit code a shell sees.
 * The codes are part of the command line's contract: add, never renumber.
 */
export const ERROR_CODES = {
  failed: 1,
  connection: 1,
  authentication: 1,
  permission: 1,
  unsupported: 1,
  postgresql: 1,
  storage: 1,
  'object-exists': 1,
  'object-missing': 1,
  'object-damaged': 1,
  'repository-missing': 2,
  'repository-foreign': 1,
  locked: 1,
  'disk-full': 1,
  timeout: 1,
  'wal-gap': 1,
  'wal-conflict': 1,
  'foreign-system': 1,
  'target-unreachable': 1,
  'target-not-empty': 1,
  'no-backup': 1,
  usage: 2,
  config: 2,
  'check-failed': 3,
  'damage-found': 3,
  'damage-reported': 4,
  'not-in-repository': 44,
  interrupted: 130,
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export type WalnutErrorOptions = {
  /** What the user can do about it: a full sentence, or the command to type. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
  /** Facts that a caller branches on or JSON output shows. */
  readonly details?: Readonly<Record<string, unknown>>;
};

/**
 * An error that a person will read. The message is a lower-case verb phrase with its object and without a full
 * stop ("read pg_control of server shop: checksum does not match"); the hint says what to do.
 */
export class WalnutError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: WalnutErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'WalnutError';
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? {};
  }

  get exitCode(): number {
    return ERROR_CODES[this.code];
  }
}

/** True when `error` is a WalnutError of one of the given codes. */
export function hasCode(error: unknown, ...codes: ErrorCode[]): error is WalnutError {
  return error instanceof WalnutError && codes.includes(error.code);
}

/** The text of anything thrown, without its stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
