import { dirname } from 'node:path/posix';
import { z } from 'zod';
import { hasCode } from '../lib/walnut-error.ts';
import { damaged } from '../repository/object-header.ts';
import { openObject, readHeader } from '../repository/sealed-object.ts';
import type { ObjectStore } from '../storage/object-store.ts';

const INDEX_BYTES_MAX: number = 64 * 1024 * 1024;

/** What an index says that can be compared with the segments themselves; the rest is the catalogue's. */
const indexSchema = z.looseObject({
  segments: z.array(
    z.looseObject({
      summary: z.looseObject({ name: z.string() }),
      plainBytes: z.number(),
      plainHash: z.string(),
    }),
  ),
});

/**
 * Checks a sealed index and that it tells the hashes of the segments as they are stored. Segments that are gone are not
 * its fault: retention takes them before it, and holes are found by continuity.
 */
export async function checkWalIndex(store: ObjectStore, key: string): Promise<void> {
  const { plain } = openObject(await store.get(key, INDEX_BYTES_MAX), 'wal-index', key);
  const { segments } = indexSchema.parse(JSON.parse(plain.toString('utf8')));
  const timelineFolder = dirname(dirname(key));
  for (const { summary, plainBytes, plainHash } of segments) {
    const segmentKey = `${timelineFolder}/${summary.name}`;
    try {
      const header = await readHeader(store, segmentKey);
      const hash = Buffer.from(header.plainHash).toString('hex');
      if (header.plainBytes === plainBytes && hash === plainHash) continue;
      throw damaged(key, `it tells another content of segment ${summary.name} than is stored`);
    } catch (error) {
      // A segment whose header is damaged is reported under its own name.
      const isOthers = hasCode(error, 'object-missing', 'object-damaged', 'unsupported');
      if (!isOthers || error.details['key'] === key) throw error;
    }
  }
}
