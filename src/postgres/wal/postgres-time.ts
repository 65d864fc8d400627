/** 2000-01-01T00:00:00Z, PostgreSQL's epoch, in milliseconds since 1970. */
const POSTGRES_EPOCH_MS = 946_684_800_000;

/** A `TimestampTz` (µs since 2000) as milliseconds since 1970, rounded down. */
export function postgresTimeToMs(timeUs: number): number {
  return Math.floor(timeUs / 1000) + POSTGRES_EPOCH_MS;
}

/** Milliseconds since 1970 as µs since 2000. */
export function msToPostgresTime(timeMs: number): number {
  return Math.round((timeMs - POSTGRES_EPOCH_MS) * 1000);
}

/** A `TimestampTz` (µs since 2000) as a Date; a Date holds only milliseconds. */
export function postgresTimeToDate(timeUs: number): Date {
  return new Date(postgresTimeToMs(timeUs));
}

/** A `TimestampTz` as ISO 8601 in UTC with all six digits, such as `2026-11-22T19:15:00.123456Z`. */
export function formatPostgresTime(timeUs: number): string {
  const micros = String(((timeUs % 1000) + 1000) % 1000).padStart(3, '0');
  return postgresTimeToDate(timeUs).toISOString().replace('Z', `${micros}Z`);
}
