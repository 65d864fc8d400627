/**
 * The fields of an ErrorResponse or NoticeResponse.
 * Source: https://www.postgresql.org/docs/18/protocol-error-fields.html
 */
export type ServerMessage = {
  readonly severity: string;
  readonly code: string;
  readonly message: string;
  readonly detail: string | null;
  readonly hint: string | null;
  /** The C function that reported: unlike the message it is never translated. */
  readonly routine: string | null;
};

/** Reads the body of an `E` or `N` message. Broken bodies give what could be read, never an exception. */
export function parseServerMessage(body: Uint8Array): ServerMessage {
  const fields = new Map<string, string>();
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  let at = 0;
  while (at < text.length && text[at] !== 0) {
    const terminator = text.indexOf(0, at + 1);
    const end = terminator < 0 ? text.length : terminator;
    fields.set(text.toString('latin1', at, at + 1), text.toString('utf8', at + 1, end));
    at = end + 1;
  }
  return {
    severity: fields.get('V') ?? fields.get('S') ?? 'ERROR',
    code: fields.get('C') ?? 'XX000',
    message: fields.get('M') || 'the server gave no message',
    detail: fields.get('D') ?? null,
    hint: fields.get('H') ?? null,
    routine: fields.get('R') ?? null,
  };
}

/** An error that the server sent, read outside of `pg`; shaped like `pg`'s DatabaseError. */
export class ServerError extends Error {
  readonly severity: string;
  readonly code: string;
  readonly detail: string | null;
  readonly hint: string | null;
  readonly routine: string | null;

  constructor(fields: ServerMessage) {
    super(fields.message);
    this.name = 'ServerError';
    this.severity = fields.severity;
    this.code = fields.code;
    this.detail = fields.detail;
    this.hint = fields.hint;
    this.routine = fields.routine;
  }
}

const SQL_STATE = /^[0-9A-Z]{5}$/;

/** The server's message inside an error of `pg` or our own, or null when the error did not come from a server. */
export function serverMessageOf(error: unknown): ServerMessage | null {
  if (!(error instanceof Error)) return null;
  const fields: Partial<Record<keyof ServerMessage, unknown>> = Object.assign({}, error);
  if (typeof fields.code !== 'string' || !SQL_STATE.test(fields.code)) return null;
  // EPIPE has the shape of an SQLSTATE; only servers give a severity.
  if (typeof fields.severity !== 'string') return null;
  const text = (value: unknown): string | null => (typeof value === 'string' ? value : null);
  return {
    severity: fields.severity,
    code: fields.code,
    message: error.message,
    detail: text(fields.detail),
    hint: text(fields.hint),
    routine: text(fields.routine),
  };
}
