import { describe, expect, test } from 'vitest';
import { parseLsn } from '../postgres/lsn.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { msToPostgresTime } from '../postgres/wal/postgres-time.ts';
import { IdleWatch } from './idle-watch.ts';

const timeline = toTimelineId(1);
const lsn = parseLsn('0/3000060');
const at = (seconds: number): Date => new Date(1_800_000_000_000 + seconds * 1000);

describe('an idle server', () => {
  test('proves the moment of an earlier sighting, not of the last', () => {
    const watch = new IdleWatch(true);
    watch.seen({ timeline, lsn, at: at(0) });
    expect(watch.take()).toBeNull();
    watch.seen({ timeline, lsn, at: at(10) });
    expect(watch.take()).toEqual({ timeline, lsn, completeUs: msToPostgresTime(at(0).getTime()) });
    expect(watch.take()).toBeNull();
  });

  test('proves nothing by sightings that are close together: a commit may be under way', () => {
    const watch = new IdleWatch(true);
    watch.seen({ timeline, lsn, at: at(0) });
    watch.seen({ timeline, lsn, at: at(1) });
    expect(watch.take()).toBeNull();
  });

  test('proves nothing when WAL came in between', () => {
    const watch = new IdleWatch(true);
    watch.seen({ timeline, lsn, at: at(0) });
    watch.moved();
    watch.seen({ timeline, lsn, at: at(10) });
    expect(watch.take()).toBeNull();
  });

  test('that is a standby says nothing about its primary', () => {
    const watch = new IdleWatch(false);
    watch.seen({ timeline, lsn, at: at(0) });
    watch.seen({ timeline, lsn, at: at(10) });
    expect(watch.take()).toBeNull();
  });
});
