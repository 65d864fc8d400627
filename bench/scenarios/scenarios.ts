import { full } from './full.ts';
import { chain, incremental } from './incremental.ts';
import type { Scenario } from './scenario.ts';
import { smallRelations } from './small-relations.ts';
import { walPush, walReceive } from './wal.ts';

/** In the order in which they run: the last one changes the cluster most. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  full,
  incremental,
  chain,
  'wal-push': walPush,
  'wal-receive': walReceive,
  'small-relations': smallRelations,
};
