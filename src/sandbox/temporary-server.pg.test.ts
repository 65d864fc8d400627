import { describe, expect, test } from 'vitest';
import { testCluster } from '../../test/support/cluster.ts';
import { SUPPORTED_MAJORS } from '../postgres/version.ts';

describe.each(SUPPORTED_MAJORS)('a temporary PostgreSQL %i', (major) => {
  test('starts, stops, crashes, recovers and restarts with its rows', async () => {
    await using cluster = await testCluster({ major, initdb: { walSegmentMegabytes: 1 } });
    const { server } = cluster;
    await cluster.sql(
      'create table kept (id int); insert into kept select generate_series(1, 1000)',
    );
    expect(await cluster.value('show wal_segment_size')).toBe('1MB');
    await server.kill();
    expect(server.isRunning).toBe(false);
    await expect(cluster.sql('select 1')).rejects.toThrow(/ENOENT|ECONNREFUSED/);
    await server.start();
    expect(await server.readLog()).toContain('automatic recovery in progress');
    expect(await cluster.value('select count(*) from kept')).toBe('1000');
    await server.restart();
    expect(await cluster.value('select count(*) from kept')).toBe('1000');
    expect(await server.logTail()).toContain('database system is ready to accept connections');
    await server.stop();
    expect(await server.waitForExit()).toEqual({ exitCode: 0, signal: null });
  });
});
