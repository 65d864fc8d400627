import { describe, expect, test } from 'vitest';

import { minimalConfiguration, type MinimalConfigurationOptions } from './minimal-configuration.ts';

const BASE: MinimalConfigurationOptions = {
  settings: new Map([
    ['max_connections', '200'],
    ['max_worker_processes', '4'],
    ['max_wal_senders', 'many'],
    ['wal_level', 'logical'],
    ['shared_preload_libraries', `pg_stat_statements, "odd'name"`],
    ['TimeZone', 'Europe/Berlin'],
    ['lc_messages', 'de_DE.UTF-8'],
    ['data_directory', '/var/lib/postgresql/18/main'],
    ['shared_buffers', '1048576'],
    ['ssl', 'on'],
  ]),
  required: {
    maxConnections: 100,
    maxWorkerProcesses: 8,
    maxWalSenders: 10,
    maxPreparedTransactions: 0,
    maxLocksPerTransaction: 64,
  },
  owner: 'anna',
  superuser: 'postgres',
};

describe('a minimal configuration', () => {
  const files = minimalConfiguration(BASE);

  test('has the required settings at least as large as saved and as pg_control asks', () => {
    expect(files.postgresqlConf).toContain("max_connections = '200'\n");
    expect(files.postgresqlConf).toContain("max_worker_processes = '8'\n");
    expect(files.postgresqlConf).toContain("max_wal_senders = '10'\n");
    expect(files.postgresqlConf).toContain("max_prepared_transactions = '0'\n");
    expect(files.postgresqlConf).toContain("max_locks_per_transaction = '64'\n");
  });

  test('carries what belongs to the cluster, and nothing of the old host', () => {
    expect(files.postgresqlConf).toContain("wal_level = 'logical'\n");
    expect(files.postgresqlConf).toContain("TimeZone = 'Europe/Berlin'\n");
    expect(files.postgresqlConf).toContain(
      `shared_preload_libraries = 'pg_stat_statements, "odd''name"'\n`,
    );
    expect(files.postgresqlConf).toContain("listen_addresses = 'localhost'\n");
    expect(files.postgresqlConf).not.toMatch(/data_directory|shared_buffers|ssl|lc_messages/);
  });

  test('lets in only people of this host', () => {
    expect(files.pgHbaConf).not.toContain('trust');
    expect(files.pgHbaConf).not.toContain('0.0.0.0');
    expect(files.pgIdentConf).toContain('walnut  "anna"  "postgres"\n');
  });

  test.each(['a"b', 'a\nb'])('%j cannot be the owner', (owner) => {
    expect(() => minimalConfiguration({ ...BASE, owner })).toThrow(/cannot be quoted/);
  });
});
