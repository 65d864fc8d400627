import { WalnutError } from '../../lib/walnut-error.ts';
import { checkKeyword, type KeywordValues } from './connection-keywords.ts';

const URL_SCHEME = /^postgres(?:ql)?:\/\//;
const WHERE = 'connection string';

/**
 * Splits a libpq connection string, URL or `keyword = value` list, into its keywords. Several hosts stay one
 * comma-separated value, as in libpq. Messages never repeat the text: it may hold a password.
 * Source: `conninfo_parse` and `conninfo_uri_parse_options` in src/interfaces/libpq/fe-connect.c.
 */
export function parseConnectionString(text: string): KeywordValues {
  return URL_SCHEME.test(text) ? parseUrl(text.replace(URL_SCHEME, '')) : parseKeywordList(text);
}

function parseUrl(text: string): KeywordValues {
  const values: KeywordValues = new Map();
  const rest = takeHosts(takeCredentials(text, values), values);
  const question = rest.indexOf('?');
  const path = question < 0 ? rest : rest.slice(0, question);
  if (path.length > 1) values.set('dbname', decode(path.slice(1), 'database name'));
  if (question >= 0) takeParameters(rest.slice(question + 1), values);
  return values;
}

/** Reads `user:password@`, which exists when an `@` stands before the first slash. */
function takeCredentials(text: string, values: KeywordValues): string {
  const end = text.search(/[@/]/);
  if (end < 0 || text[end] !== '@') return text;
  const credentials = text.slice(0, end);
  const colon = credentials.indexOf(':');
  const user = colon < 0 ? credentials : credentials.slice(0, colon);
  if (user !== '') values.set('user', decode(user, 'user'));
  if (colon >= 0) values.set('password', decode(credentials.slice(colon + 1), 'password'));
  return text.slice(end + 1);
}

/** Reads `host:port,host:port`; answers what follows. */
function takeHosts(text: string, values: KeywordValues): string {
  const hosts: string[] = [];
  const ports: string[] = [];
  let rest = text;
  for (;;) {
    const [, bracketed, plain, port, after = ''] =
      /^(?:\[([^\]]*)\]|([^:/?,[]*))(?::([^/?,]*))?(.*)$/s.exec(rest) ?? [];
    if (after.startsWith('[')) throw malformed('the IPv6 address lacks its closing "]"');
    if (bracketed === '') throw malformed('an IPv6 address may not be empty');
    if (after !== '' && !'/?,'.includes(after.charAt(0))) {
      throw malformed(`"${after.charAt(0)}" stands after a host where ":", "/", "?" or "," must`);
    }
    hosts.push(decode(bracketed ?? plain ?? '', 'host'));
    ports.push(decode(port ?? '', 'port'));
    rest = after;
    if (!rest.startsWith(',')) break;
    rest = rest.slice(1);
  }
  if (hosts.some((host) => host !== '')) values.set('host', hosts.join(','));
  if (ports.some((port) => port !== '')) values.set('port', ports.join(','));
  return rest;
}

function takeParameters(text: string, values: KeywordValues): void {
  if (text === '') return;
  for (const pair of text.split('&')) {
    const [rawName = '', rawValue, ...more] = pair.split('=');
    if (rawValue === undefined) throw malformed('a parameter after "?" lacks its "="');
    if (more.length > 0) throw malformed('a parameter after "?" has more than one "="');
    const name = decode(rawName, 'parameter name');
    const value = decode(rawValue, 'parameter value');
    // JDBC's spelling, which libpq takes as well.
    if (name === 'ssl' && value === 'true') {
      values.set('sslmode', 'require');
    } else {
      checkKeyword(name, WHERE);
      values.set(name, value);
    }
  }
}

function decode(text: string, what: string): string {
  let decoded: string;
  try {
    decoded = decodeURIComponent(text);
  } catch (cause) {
    throw malformed(`the ${what} has an invalid percent-encoded token`, cause);
  }
  if (decoded.includes('\0')) throw malformed(`the ${what} holds the forbidden value %00`);
  return decoded;
}

function parseKeywordList(text: string): KeywordValues {
  const values: KeywordValues = new Map();
  const scanner = { text, at: 0 };
  skipSpace(scanner);
  while (scanner.at < text.length) {
    const name = /[^\s=]*/y;
    name.lastIndex = scanner.at;
    const [key = ''] = name.exec(text) ?? [];
    scanner.at += key.length;
    skipSpace(scanner);
    if (text[scanner.at] !== '=') throw malformed('"=" is missing after a keyword');
    checkKeyword(key, WHERE);
    scanner.at += 1;
    skipSpace(scanner);
    values.set(key, takeValue(scanner));
    skipSpace(scanner);
  }
  return values;
}

type Scanner = { readonly text: string; at: number };

function skipSpace(scanner: Scanner): void {
  while (/\s/.test(scanner.text[scanner.at] ?? '')) scanner.at += 1;
}

function takeValue(scanner: Scanner): string {
  const quoted = scanner.text[scanner.at] === "'";
  if (quoted) scanner.at += 1;
  const endsAt = quoted ? /'/ : /\s/;
  let value = '';
  while (scanner.at < scanner.text.length) {
    const character = scanner.text.charAt(scanner.at);
    scanner.at += 1;
    if (endsAt.test(character)) return value;
    if (character === '\\') {
      value += scanner.text.charAt(scanner.at);
      scanner.at += 1;
    } else {
      value += character;
    }
  }
  if (quoted) throw malformed('a quoted value lacks its closing quote');
  return value;
}

function malformed(reason: string, cause?: unknown): WalnutError {
  return new WalnutError('config', `read ${WHERE}: ${reason}`, {
    cause,
    hint: 'Write postgresql://user@host:5432/database or host=… port=… user=… dbname=….',
  });
}
