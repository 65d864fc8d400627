type Field = {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly words: readonly string[];
};

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

const FIELDS: readonly Field[] = [
  { name: 'minute', min: 0, max: 59, words: [] },
  { name: 'hour', min: 0, max: 23, words: [] },
  { name: 'day of month', min: 1, max: 31, words: [] },
  { name: 'month', min: 1, max: 12, words: MONTHS },
  { name: 'day of week', min: 0, max: 7, words: DAYS },
];

/** What is wrong with a cron expression of five fields, or null. */
export function checkCron(expression: string): string | null {
  const texts = expression.trim().split(/\s+/);
  if (texts.length !== FIELDS.length) {
    return `"${expression}" has ${texts.length} fields, expected 5: minute, hour, day of month, month, day of week`;
  }
  const wrong = FIELDS.find((field, index) => !isField(field, texts[index] ?? ''));
  return wrong === undefined ? null : `"${expression}": the ${wrong.name} is not valid`;
}

function isField(field: Field, text: string): boolean {
  return text.split(',').every((item) => isItem(field, item));
}

function isItem(field: Field, item: string): boolean {
  const [, range = '', step] = /^([^/]+)(?:\/(\d+))?$/.exec(item) ?? [];
  if (step !== undefined && (Number(step) < 1 || Number(step) > field.max)) return false;
  if (range === '*') return true;
  const bounds = range.split('-').map((bound) => valueOf(field, bound));
  const [first, last = first] = bounds;
  if (first === undefined || last === undefined || bounds.length > 2) return false;
  return first >= field.min && last <= field.max && first <= last;
}

function valueOf(field: Field, text: string): number | undefined {
  if (/^\d{1,2}$/.test(text)) return Number(text);
  const index = field.words.indexOf(text.toLowerCase());
  return index === -1 ? undefined : index + field.min;
}
