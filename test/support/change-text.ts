import type { ChangeMap } from '../../src/postgres/wal/change-map.ts';

/** All that a change map says, a line per database or fork, to compare and to read in a failed test. */
export function changeText(map: ChangeMap): string[] {
  const lines = map
    .rewrittenDatabases()
    .map(({ tablespaceOid, databaseOid }) => `${tablespaceOid}/${databaseOid}: rewritten`);
  for (const changes of map.forks()) {
    const { tablespaceOid, databaseOid, relfilenode, fork, limit } = changes;
    const blocks = changes.blocks(0, 2 ** 32);
    if (limit === null && blocks.length === 0) continue;
    const name = `${tablespaceOid}/${databaseOid}/${relfilenode}/${fork}`;
    lines.push(`${name}: limit ${limit}, blocks ${blocks.join(' ')}`);
  }
  return lines;
}
