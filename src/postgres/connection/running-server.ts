import { must } from '../../lib/assert.ts';
import { WalnutError } from '../../lib/walnut-error.ts';
import type { ConnectionSettings } from './connection-settings.ts';
import { openSession } from './open-session.ts';
import type { Session } from './session.ts';

/** One run of one server: of two servers with one system identifier (a standby, a copy) no two have the same. */
export type RunningServer = {
  /** Settings that lead to the host of the session, and to no other of a list. */
  readonly settings: ConnectionSettings;
  readonly fingerprint: string;
};

const FINGERPRINT =
  "SELECT concat_ws(' ', (SELECT system_identifier FROM pg_control_system()), " +
  'extract(epoch FROM pg_postmaster_start_time()), pg_is_in_recovery()) AS fingerprint';

export async function identifyRunningServer(
  session: Session,
  settings: ConnectionSettings,
): Promise<RunningServer> {
  return {
    settings: { ...settings, hosts: [session.host], targetSessionAttrs: 'any' },
    fingerprint: await fingerprintOf(session),
  };
}

/**
 * A further session with the same server. A name that leads to several servers, or a proxy in between, would mix their
 * files: that is refused.
 */
export async function openSessionWith(
  { settings, fingerprint }: RunningServer,
  applicationName: string,
): Promise<Session> {
  const session = await openSession(settings, { applicationName });
  const found = await fingerprintOf(session).catch(async (error: unknown) => {
    await session.close();
    throw error;
  });
  if (found === fingerprint) return session;
  await session.close();
  throw new WalnutError(
    'failed',
    `open a further session with the server: another server answered at ${session.host.host}`,
    {
      hint:
        'Name the server itself in `connection`, not a name or proxy that leads to several servers; if it was restarted or ' +
        'promoted meanwhile, take the backup again.',
      details: { expected: fingerprint, found },
    },
  );
}

async function fingerprintOf(session: Session): Promise<string> {
  const rows = await session.query<{ fingerprint: string }>(FINGERPRINT, {
    act: 'ask the server who it is',
  });
  return must(rows[0], 'a fingerprint is one row').fingerprint;
}
