import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { testCluster } from '../../../test/support/cluster.ts';
import { SUPPORTED_MAJORS } from '../version.ts';
import { parseControlFile } from './control-file.ts';
import { PAGE_BYTES } from './data-page.ts';
import { pageChecksums } from './page-checksum.ts';
import { PageScanner } from './page-scanner.ts';
import { classifyFile } from './relation-file.ts';

const WORK = `
  create table heap (id int primary key, body text);
  insert into heap select g, repeat(md5(g::text), 20) from generate_series(1, 8000) g;
  create index on heap using hash (id);
  create index on heap using gin (to_tsvector('simple', body));
  create index on heap using brin (id);
  create index on heap using gist (box(point(id, id), point(id, id)));
  create index on heap using spgist (body);
  create sequence numbers;
  create unlogged table unlogged as select * from heap limit 100;
  create unlogged table empty_unlogged (id int primary key);
  delete from heap where id % 3 = 0;
`;

describe.each(SUPPORTED_MAJORS)('a cluster of version %i', (major) => {
  test('has the checksums and headers that are expected of its pages', async () => {
    await using cluster = await testCluster({ major, initdb: { dataChecksums: true } });
    await cluster.sql(WORK);
    await cluster.sql('vacuum heap');
    await cluster.server.stop();
    const control = parseControlFile(await readFile(join(cluster.dataFolder, 'global/pg_control')));
    expect(control).toMatchObject({ major, state: 'shut down', dataChecksumVersion: 1 });

    const scanner = await PageScanner.create(32 * 1024 * 1024);
    const found = { pages: 0, newPages: 0, forks: new Set<string>(), bad: [] as string[] };
    const paths = await readdir(cluster.dataFolder, { recursive: true });
    for (const path of paths) {
      const file = classifyFile(path);
      if (file.kind === 'other') continue;
      const bytes = await readFile(join(cluster.dataFolder, path));
      scanner.pages.set(bytes);
      const pageCount = bytes.length / PAGE_BYTES;
      const options = { pageCount, firstBlock: 0, startLsn: 2n ** 64n - 1n };
      const checked = scanner.scan({ ...options, verifyChecksums: true }).badPages;
      const sane = scanner.scan({ ...options, verifyChecksums: false }).badPages;
      if (checked.length + sane.length > 0) found.bad.push(path);
      found.forks.add(file.fork);
      found.pages += pageCount;
      for (const [block, checksum] of pageChecksums(bytes, 0).entries()) {
        if (bytes.readUInt16LE(block * PAGE_BYTES + 14) === 0) found.newPages += 1;
        else if (bytes.readUInt16LE(block * PAGE_BYTES + 8) !== checksum) found.bad.push(path);
      }
    }
    expect(found.bad).toEqual([]);
    expect(found.pages).toBeGreaterThan(3000);
    expect(found.newPages).toBeLessThan(found.pages / 10);
    expect(found.forks).toEqual(new Set(['main', 'fsm', 'vm', 'init']));
  });
});
