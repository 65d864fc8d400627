const BYTES_BY_UNIT: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  tib: 1024 ** 4,
};

const MS_BY_UNIT: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  sec: 1000,
  second: 1000,
  seconds: 1000,
  min: 60_000,
  minute: 60_000,
  minutes: 60_000,
  h: 3_600_000,
  hour: 3_600_000,
  hours: 3_600_000,
  d: 86_400_000,
  day: 86_400_000,
  days: 86_400_000,
  w: 604_800_000,
  week: 604_800_000,
  weeks: 604_800_000,
};

const QUANTITY = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i;
const QUANTITIES = /^(?:\d+(?:\.\d+)?\s*[a-z]+\s*)+$/i;
const EACH_QUANTITY = /(\d+(?:\.\d+)?)\s*([a-z]+)/gi;

/** Bytes of a size such as `64MB` (decimal) or `64MiB` (binary). Throws SyntaxError or RangeError. */
export function parseSize(text: string): number {
  const [, amount, unit] = QUANTITY.exec(text.trim()) ?? [];
  const factor = unit === undefined ? undefined : BYTES_BY_UNIT[unit.toLowerCase()];
  if (amount === undefined || factor === undefined) {
    throw new SyntaxError(
      `"${text}" is not a size: write a number with B, kB, MB, GB, TB (or KiB … TiB), such as 64MB`,
    );
  }
  return positive(Math.round(Number(amount) * factor), text);
}

/** Bytes per second of a rate such as `50MB/s`. */
export function parseRate(text: string): number {
  const size = /^(.*\S)\s*\/\s*s(?:ec|econd)?$/i.exec(text.trim())?.[1];
  if (size === undefined || !QUANTITY.test(size)) {
    throw new SyntaxError(`"${text}" is not a rate: write a size per second, such as 50MB/s`);
  }
  return parseSize(size);
}

/** Milliseconds of a duration such as `14 days`, `2s`, `1 h 30 min`. */
export function parseDuration(text: string): number {
  const trimmed = text.trim();
  let totalMs = QUANTITIES.test(trimmed) ? 0 : Number.NaN;
  for (const [, amount, unit = ''] of trimmed.matchAll(EACH_QUANTITY)) {
    totalMs += Number(amount) * (MS_BY_UNIT[unit.toLowerCase()] ?? Number.NaN);
  }
  if (Number.isNaN(totalMs)) {
    throw new SyntaxError(
      `"${text}" is not a duration: write numbers with ms, s, min, h, days or weeks, such as 14 days or 2s`,
    );
  }
  return positive(Math.round(totalMs), text);
}

function positive(value: number, text: string): number {
  if (value > 0 && Number.isSafeInteger(value)) return value;
  throw new RangeError(`"${text}" is ${value > 0 ? 'too large' : 'too small'}`);
}
