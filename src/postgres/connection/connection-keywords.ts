import { WalnutError } from '../../lib/walnut-error.ts';

/**
 * What Walnut does with a libpq keyword: `used`; `ignored`, where it can't change what a connection does here; or
 * `refused`, where ignoring it would give less safety than the user asked for.
 */
type Treatment = 'used' | 'ignored' | 'refused';

type Keyword = { readonly environment?: string; readonly treatment: Treatment };

const used = (environment?: string): Keyword => keyword('used', environment);
const ignored = (environment?: string): Keyword => keyword('ignored', environment);
const refused = (environment?: string): Keyword => keyword('refused', environment);

function keyword(treatment: Treatment, environment?: string): Keyword {
  return environment === undefined ? { treatment } : { treatment, environment };
}

/** Source: `PQconninfoOptions` in src/interfaces/libpq/fe-connect.c of PostgreSQL 18. */
const KEYWORDS: ReadonlyMap<string, Keyword> = new Map([
  ['service', used('PGSERVICE')],
  ['servicefile', used('PGSERVICEFILE')],
  ['user', used('PGUSER')],
  ['password', used('PGPASSWORD')],
  ['passfile', used('PGPASSFILE')],
  ['channel_binding', used('PGCHANNELBINDING')],
  ['connect_timeout', used('PGCONNECT_TIMEOUT')],
  ['dbname', used('PGDATABASE')],
  ['host', used('PGHOST')],
  ['hostaddr', used('PGHOSTADDR')],
  ['port', used('PGPORT')],
  ['client_encoding', ignored('PGCLIENTENCODING')],
  ['options', used('PGOPTIONS')],
  ['application_name', used('PGAPPNAME')],
  ['fallback_application_name', used()],
  ['keepalives', used()],
  ['keepalives_idle', used()],
  ['keepalives_interval', ignored()],
  ['keepalives_count', ignored()],
  ['tcp_user_timeout', ignored()],
  ['sslmode', used('PGSSLMODE')],
  ['sslnegotiation', used('PGSSLNEGOTIATION')],
  ['sslcompression', ignored('PGSSLCOMPRESSION')],
  ['sslcert', used('PGSSLCERT')],
  ['sslkey', used('PGSSLKEY')],
  ['sslcertmode', used('PGSSLCERTMODE')],
  ['sslpassword', used()],
  ['sslrootcert', used('PGSSLROOTCERT')],
  ['sslcrl', used('PGSSLCRL')],
  ['sslcrldir', refused('PGSSLCRLDIR')],
  ['sslsni', used('PGSSLSNI')],
  ['requirepeer', refused('PGREQUIREPEER')],
  ['require_auth', refused('PGREQUIREAUTH')],
  ['min_protocol_version', ignored('PGMINPROTOCOLVERSION')],
  ['max_protocol_version', ignored('PGMAXPROTOCOLVERSION')],
  ['ssl_min_protocol_version', used('PGSSLMINPROTOCOLVERSION')],
  ['ssl_max_protocol_version', used('PGSSLMAXPROTOCOLVERSION')],
  ['gssencmode', used('PGGSSENCMODE')],
  ['krbsrvname', ignored('PGKRBSRVNAME')],
  ['gsslib', ignored('PGGSSLIB')],
  ['gssdelegation', ignored('PGGSSDELEGATION')],
  ['replication', refused()],
  ['target_session_attrs', used('PGTARGETSESSIONATTRS')],
  ['load_balance_hosts', used('PGLOADBALANCEHOSTS')],
  ['scram_client_key', refused()],
  ['scram_server_key', refused()],
  ['oauth_issuer', refused()],
  ['oauth_client_id', refused()],
  ['oauth_client_secret', refused()],
  ['oauth_scope', refused()],
  ['sslkeylogfile', refused()],
]);

/** The values of libpq keywords, as text. */
export type KeywordValues = Map<string, string>;

/** Throws for a keyword that libpq does not know, naming the nearest that it knows. */
export function checkKeyword(name: string, where: string): void {
  if (KEYWORDS.has(name)) return;
  throw new WalnutError('config', `read ${where}: unknown connection keyword "${name}"`, {
    hint: `Did you mean "${nearestKeyword(name)}"?`,
  });
}

/** Throws for keywords that Walnut knows but cannot honour. */
export function refuseUnsupported(values: ReadonlyMap<string, string>): void {
  for (const [name, value] of values) {
    if (value === '' || KEYWORDS.get(name)?.treatment !== 'refused') continue;
    throw new WalnutError('config', `read connection settings: Walnut does not support "${name}"`, {
      hint: `Remove "${name}" from the connection settings${environmentNote(name)}.`,
    });
  }
}

function environmentNote(name: string): string {
  const environment = KEYWORDS.get(name)?.environment;
  return environment === undefined ? '' : ` (and ${environment} from the environment)`;
}

/** The keywords that are set through `PG*` variables. Empty variables count as unset, as in libpq. */
export function keywordsFromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): KeywordValues {
  const values: KeywordValues = new Map();
  for (const [name, { environment: variable }] of KEYWORDS) {
    const value = variable === undefined ? undefined : environment[variable];
    if (value !== undefined && value !== '') values.set(name, value);
  }
  return values;
}

function nearestKeyword(name: string): string {
  let nearest = '';
  let smallest = Number.POSITIVE_INFINITY;
  for (const candidate of KEYWORDS.keys()) {
    const distance = editDistance(name.toLowerCase(), candidate);
    if (distance < smallest) {
      smallest = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

function editDistance(first: string, second: string): number {
  let previous = Array.from({ length: second.length + 1 }, (_, index) => index);
  for (let row = 1; row <= first.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= second.length; column += 1) {
      const substitution = first[row - 1] === second[column - 1] ? 0 : 1;
      current.push(
        Math.min(
          (previous[column] ?? 0) + 1,
          (current[column - 1] ?? 0) + 1,
          (previous[column - 1] ?? 0) + substitution,
        ),
      );
    }
    previous = current;
  }
  return previous[second.length] ?? 0;
}
