import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testCluster, TEST_PASSWORD, type TestCluster } from '../../../test/support/cluster.ts';
import { sleep } from '../../lib/sleep.ts';
import { WalnutError } from '../../lib/walnut-error.ts';
import {
  readConnectionSettings,
  type ConnectionSettings,
} from '../connection/connection-settings.ts';
import { identifySystem } from './commands.ts';
import { openReplicationConnection } from './replication-connection.ts';

const SOURCES = {
  environment: {},
  homeFolder: '/nonexistent',
  userName: 'nobody',
  readFile: () => null,
  exists: () => false,
};
const options = { applicationName: 'walnut test' };

function settingsOf(cluster: TestCluster, user = 'walnut'): ConnectionSettings {
  return readConnectionSettings(cluster.connectionString({ user }), SOURCES);
}

async function failure(opening: Promise<unknown>): Promise<WalnutError> {
  try {
    await opening;
  } catch (error) {
    if (error instanceof WalnutError) return error;
    throw error;
  }
  throw new Error('the connection was opened');
}

describe.each([13, 18] as const)('replication connections with PostgreSQL %i', (major) => {
  let cluster: TestCluster;

  beforeAll(async () => {
    cluster = await testCluster({
      major,
      hbaLines: [
        'host replication nohba 127.0.0.1/32 reject',
        'host postgres nohba 127.0.0.1/32 scram-sha-256',
        'host all,replication outsider 127.0.0.1/32 reject',
      ],
    });
    await cluster.sql(
      [
        ...(major >= 14 ? ['alter role walnut set idle_session_timeout = 300'] : []),
        `create role plain login password '${TEST_PASSWORD}'`,
        `create role nohba login replication password '${TEST_PASSWORD}'`,
        `create role outsider login replication password '${TEST_PASSWORD}'`,
      ].join(';'),
    );
  });

  afterAll(async () => {
    await cluster.dispose();
  });

  test('no time-out of the role ends one that waits', async () => {
    const { session } = await openReplicationConnection(settingsOf(cluster), options);
    await sleep(700);
    expect((await identifySystem(session)).timeline).toBe(1);
    await session.close();
  });

  test('a role without REPLICATION gets the statement to run', async () => {
    const error = await failure(openReplicationConnection(settingsOf(cluster, 'plain'), options));
    expect(error).toMatchObject({ code: 'permission' });
    expect(error.hint).toContain('ALTER ROLE plain REPLICATION;');
  });

  test('without a replication line in pg_hba.conf replication runs over a database', async () => {
    const connection = await openReplicationConnection(settingsOf(cluster, 'nohba'), options);
    expect(connection).toMatchObject({
      kind: 'database',
      fallback: expect.stringContaining('no replication line') as string,
    });
    expect((await identifySystem(connection.session)).database).toBe('postgres');
    await connection.session.close();
  });

  test('with no line at all the replication line is shown', async () => {
    const error = await failure(
      openReplicationConnection(settingsOf(cluster, 'outsider'), options),
    );
    expect(error.hint).toContain('replication   outsider   127.0.0.1/32   scram-sha-256');
  });
});
