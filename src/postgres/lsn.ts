declare const lsnBrand: unique symbol;

/**
 * A byte position in the write-ahead log of one cluster, shown by PostgreSQL as `16/B374D848`.
 * Positions are comparable only within one system identifier and along one timeline's history.
 */
export type Lsn = bigint & { readonly [lsnBrand]: true };

const LSN_TEXT = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i;
const LSN_MAX = 2n ** 64n - 1n;

export function parseLsn(text: string): Lsn {
  const [, high, low] = LSN_TEXT.exec(text) ?? [];
  if (high === undefined || low === undefined) {
    throw new SyntaxError(
      `parse LSN "${text}": expected two hexadecimal halves, such as 16/B374D848`,
    );
  }
  return ((BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)) as Lsn;
}

/** `position` as an LSN; throws `RangeError` when it does not fit 64 bits. */
export function toLsn(position: bigint): Lsn {
  if (position < 0n || position > LSN_MAX) throw new RangeError(`LSN ${position} is out of range`);
  return position as Lsn;
}

/** PostgreSQL's text form, without leading zeros, as versions 13 to 18 print it. */
export function formatLsn(lsn: Lsn): string {
  const high = (lsn >> 32n).toString(16).toUpperCase();
  const low = (lsn & 0xffff_ffffn).toString(16).toUpperCase();
  return `${high}/${low}`;
}

export function minLsn(first: Lsn, second: Lsn): Lsn {
  return first < second ? first : second;
}

export function maxLsn(first: Lsn, second: Lsn): Lsn {
  return first > second ? first : second;
}
