import { expect, test } from 'vitest';
import { testCluster } from '../../../test/support/cluster.ts';
import { openSession } from './open-session.ts';
import { identifyRunningServer, openSessionWith } from './running-server.ts';
import { readConnectionSettings } from './connection-settings.ts';
import { systemSources } from './connection-sources.ts';

// Workers took the first host of a list that answered, and read another server than the backup had been started on.
test('further sessions go to the server of the first one, and to no other', async () => {
  await using wanted = await testCluster({ major: 18 });
  await using other = await testCluster({ major: 18 });
  const settingsOf = (text: string): ReturnType<typeof readConnectionSettings> =>
    readConnectionSettings(text, systemSources());
  const session = await openSession(settingsOf(wanted.connectionString({ user: 'walnut' })), {
    applicationName: 'test',
  });
  const list = {
    ...settingsOf(other.connectionString({ user: 'walnut' })),
    hosts: [
      ...settingsOf(other.connectionString({ user: 'walnut' })).hosts,
      ...settingsOf(wanted.connectionString({ user: 'walnut' })).hosts,
    ],
  };
  const server = await identifyRunningServer(session, list);
  expect(server.settings.hosts).toEqual([session.host]);
  const further = await openSessionWith(server, 'test');
  await further.close();
  const misled = { ...server, settings: settingsOf(other.connectionString({ user: 'walnut' })) };
  await expect(openSessionWith(misled, 'test')).rejects.toThrow('another server answered');
  await session.close();
});
