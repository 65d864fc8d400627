import { WalnutError } from '../../lib/walnut-error.ts';
import { sqlStateOf } from '../connection/error-mapping.ts';
import { baseValue, RECORDED_SETTINGS } from '../connection/recorded-settings.ts';
import { factsOfSettings, type ServerFacts } from '../connection/server-facts.ts';
import type { Session } from '../connection/session.ts';
import { identifySystem, showSetting } from './commands.ts';

const INSUFFICIENT_PRIVILEGE = '42501';
const UNDEFINED_OBJECT = '42704';

/**
 * The facts that a connection tells which takes replication commands only. What it does not tell is null or missing:
 * names of databases and tablespaces, and settings that the role may not see.
 */
export async function readReplicationFacts(session: Session, role: string): Promise<ServerFacts> {
  const identity = await identifySystem(session);
  const { settings, readsAllSettings } = await showSettings(session);
  return {
    serverVersionNum: session.serverVersionNum,
    systemIdentifier: identity.systemIdentifier,
    timeline: identity.timeline,
    isInRecovery: await readRecovery(session),
    currentLsn: identity.flushLsn,
    dataChecksums: settings['data_checksums'] === 'on',
    ...factsOfSettings(settings),
    tablespaces: null,
    databases: null,
    role: {
      name: role,
      isSuperuser: session.parameters.get('is_superuser') === 'on',
      // Or the server had not let it in.
      mayReplicate: true,
      readsAllSettings,
    },
  };
}

type ShownSettings = {
  readonly settings: Readonly<Record<string, string>>;
  readonly readsAllSettings: boolean;
};

async function showSettings(session: Session): Promise<ShownSettings> {
  const settings: Record<string, string> = {};
  let readsAllSettings = true;
  for (const { name, unit, isRestricted, since, until } of RECORDED_SETTINGS) {
    if (session.majorVersion < since || session.majorVersion > until) continue;
    // Each refusal is a line in the server's log: one is enough.
    if (isRestricted && !readsAllSettings) continue;
    const shown = await tryShow(session, name);
    if (shown === 'refused') readsAllSettings = false;
    else if (shown !== 'unknown') settings[name] = baseValue(shown.value, unit);
  }
  return { settings, readsAllSettings };
}

async function tryShow(
  session: Session,
  name: string,
): Promise<{ readonly value: string } | 'refused' | 'unknown'> {
  try {
    return { value: await showSetting(session, name) };
  } catch (error) {
    if (!(error instanceof WalnutError)) throw error;
    const state = sqlStateOf(error);
    if (state === INSUFFICIENT_PRIVILEGE) return 'refused';
    if (state === UNDEFINED_OBJECT) return 'unknown';
    throw error;
  }
}

/**
 * 14 and newer report it. On 13 the transaction of a standby is read-only; null where it is so by default, which looks
 * the same.
 */
async function readRecovery(session: Session): Promise<boolean | null> {
  const reported = session.parameters.get('in_hot_standby');
  if (reported !== undefined) return reported === 'on';
  if ((await showSetting(session, 'transaction_read_only')) === 'off') return false;
  return (await showSetting(session, 'default_transaction_read_only')) === 'off' ? true : null;
}
