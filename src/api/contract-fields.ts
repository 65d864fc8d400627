import { z } from 'zod';

export type LsnRange = {
  readonly timeline: number;
  readonly fromLsn: string;
  readonly toLsn: string;
};

/** `16/B374D848`, as PostgreSQL prints it. */
export const lsn: z.ZodString = z.string().regex(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/, 'an LSN');

/** RFC 3339, UTC, milliseconds. */
export const time: z.ZodString = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'a time in UTC with milliseconds');

export const backupId: z.ZodString = z.string().regex(/^\d{8}T\d{6}Z-[FDI]$/, 'a backup id');
export const segment: z.ZodString = z.string().regex(/^[0-9A-F]{24}$/, 'a WAL segment name');
export const systemIdentifier: z.ZodString = z.string().regex(/^\d{1,20}$/, 'a system identifier');
export const timeline: z.ZodNumber = z.int().min(1).max(0xffff_ffff);
export const byteCount: z.ZodNumber = z.int().nonnegative();
export const count: z.ZodNumber = z.int().nonnegative();
export const lsnRange: z.ZodType<LsnRange> = z.strictObject({ timeline, fromLsn: lsn, toLsn: lsn });

/** A moment as every document shows it. */
export function contractTime(moment: Date): string {
  return moment.toISOString();
}
