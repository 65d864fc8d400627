import type { ChangeMap } from '../postgres/wal/change-map.ts';

/** What tells which pages changed since a parent began: a superset, never with a hole. */
export type PageChanges = Pick<ChangeMap, 'limitBlock' | 'changedBlocks' | 'isRewritten'>;
