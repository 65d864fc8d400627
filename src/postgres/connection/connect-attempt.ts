import type { ErrorCode } from '../../lib/walnut-error.ts';

/** What an attempt to connect was, so that a message can show the exact fix. */
export type ConnectAttempt = {
  /** `db1:5432` or the socket folder, for messages. */
  readonly target: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  readonly replication: 'none' | 'physical' | 'database';
  readonly encrypted: boolean;
};

/** The reason why an attempt failed, as a part of the message, with its fix. */
export type Problem = {
  readonly code: ErrorCode;
  readonly reason: string;
  readonly hint?: string;
  /** The pg_hba.conf line that is missing. */
  readonly hbaLine?: string;
};
