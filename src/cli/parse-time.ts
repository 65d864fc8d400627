import { msToPostgresTime } from '../postgres/wal/postgres-time.ts';
import { localZoneOffset, renderOffset, type ZoneOffset } from './render/units.ts';

export type TimeContext = {
  readonly now: Date;
  /** The user's zone; default: the process's. */
  readonly zoneOffset?: ZoneOffset;
};

const EXAMPLE =
  '2026-11-22 19:15:00, with +01:00 or Z behind it for another zone, or "today 14:00"';
const TIME =
  /^(?:(today|yesterday)|(\d{4})-(\d\d)-(\d\d))[T ]\s*(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,6}))?)?\s*(Z|UTC|[+-]\d\d(?::?\d\d)?)?$/i;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** The largest offset in use anywhere is +14:00. */
const OFFSET_MAX_MINUTES = 14 * 60;

/**
 * Reads a time as people and PostgreSQL write it and answers PostgreSQL's form: microseconds since 2000-01-01 UTC.
 * Without an offset it is taken in the user's zone. Throws SyntaxError for anything that is not exactly one moment:
 * also for times that a change of the clocks skips or repeats, because half an hour decides what is lost.
 */
export function parseTime(text: string, context: TimeContext): number {
  const match = TIME.exec(text.trim());
  if (match === null) throw new SyntaxError(`"${text}" is not a time: write ${EXAMPLE}`);
  const [, word, , , , hour = '', minute = '', second = '0', fraction = '', zone] = match;
  const zoneOffset = context.zoneOffset ?? localZoneOffset;
  const dayMs = word === undefined ? dateOf(text, match) : dayOf(word, context.now, zoneOffset);
  const clockMs = clockOf(text, [Number(hour), Number(minute), Number(second)]);
  const micros = Number(fraction.padEnd(6, '0'));
  const wallMs = dayMs + clockMs;
  const ms =
    zone === undefined
      ? localMoment(text, wallMs, zoneOffset)
      : wallMs - offsetMinutes(text, zone) * MINUTE_MS;
  return msToPostgresTime(ms) + micros;
}

function dateOf(text: string, [, , year, month, day]: RegExpExecArray): number {
  const ms = Date.UTC(Number(year), Number(month) - 1, Number(day));
  const exists = new Date(ms).toISOString().startsWith(`${year}-${month}-${day}`);
  if (!exists) throw new SyntaxError(`"${text}": there is no day ${year}-${month}-${day}`);
  return ms;
}

/** Midnight that began today, or yesterday, on the user's calendar; as if it were UTC. */
function dayOf(word: string, now: Date, zoneOffset: ZoneOffset): number {
  const wallMs = now.getTime() + zoneOffset(now) * MINUTE_MS;
  const today = Math.floor(wallMs / DAY_MS) * DAY_MS;
  return word.toLowerCase() === 'today' ? today : today - DAY_MS;
}

function clockOf(text: string, [hour, minute, second]: [number, number, number]): number {
  if (hour > 23 || minute > 59 || second > 59) {
    throw new SyntaxError(`"${text}": the clock goes from 00:00:00 to 23:59:59`);
  }
  return ((hour * 60 + minute) * 60 + second) * 1000;
}

function offsetMinutes(text: string, zone: string): number {
  const [, sign, hours, minutes = '0'] = /^([+-])(\d\d):?(\d\d)?$/.exec(zone) ?? [];
  if (sign === undefined) return 0;
  const absolute = Number(hours) * 60 + Number(minutes);
  if (absolute > OFFSET_MAX_MINUTES || Number(minutes) > 59) {
    throw new SyntaxError(`"${text}": no zone is ${zone} from UTC`);
  }
  return sign === '-' ? -absolute : absolute;
}

/** The one moment at which clocks in the user's zone show `wallMs` (written as if it were UTC). */
function localMoment(text: string, wallMs: number, zoneOffset: ZoneOffset): number {
  // Zones change their offset by less than a day, so the offsets a day before and after are all that can hold.
  const offsets = new Set(
    [-DAY_MS, 0, DAY_MS].map((shift) => zoneOffset(new Date(wallMs + shift))),
  );
  const moments = [...offsets]
    .map((minutes) => ({ minutes, ms: wallMs - minutes * MINUTE_MS }))
    .filter(({ minutes, ms }) => zoneOffset(new Date(ms)) === minutes);
  const [first, second] = moments;
  if (first === undefined) {
    throw new SyntaxError(
      `"${text}": the clocks skip this time where you are; add an offset, such as +01:00`,
    );
  }
  if (second !== undefined) {
    const choices = moments.map(({ minutes }) => renderOffset(minutes)).join(' or ');
    throw new SyntaxError(
      `"${text}": the clocks show this time twice where you are; add ${choices}`,
    );
  }
  return first.ms;
}
