export type PasswordQuery = {
  readonly host: string;
  readonly port: number;
  /** `replication` for a physical replication connection. */
  readonly database: string;
  readonly user: string;
};

/**
 * The password of the first line of a `.pgpass` file that matches, or null.
 * Source: `passwordFromFile` in src/interfaces/libpq/fe-connect.c.
 */
export function findPassword(text: string, query: PasswordQuery): string | null {
  const wanted = [query.host, String(query.port), query.database, query.user];
  for (const raw of text.split('\n')) {
    const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
    if (line.startsWith('#') || line === '') continue;
    const [fields, password] = splitLine(line);
    const matches = wanted.every(
      (value, index) => fields[index] === value || fields[index] === ANY,
    );
    if (fields.length === wanted.length && matches) return password;
  }
  return null;
}

/** Stands for an unescaped `*`; `\*` is the character. */
const ANY = Symbol('any');

function splitLine(line: string): [fields: (string | typeof ANY)[], password: string] {
  const fields: (string | typeof ANY)[] = [];
  let at = 0;
  while (fields.length < 4 && at < line.length) {
    const field = /(?:\\.|[^:\\])*/sy;
    field.lastIndex = at;
    const [text = ''] = field.exec(line) ?? [];
    at += text.length;
    if (line[at] !== ':') break;
    at += 1;
    fields.push(text === '*' ? ANY : unescape(text));
  }
  return [fields, unescape(line.slice(at))];
}

function unescape(text: string): string {
  return text.replaceAll(/\\(.)/gs, '$1');
}
