import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { isFullMatrix } from './support/matrix.ts';
import type { MapStory } from './support/map-story.ts';

const MB = 1024 * 1024;
/** What a whole backup may take at two jobs; this is its main thread alone. */
const PEAK_BYTES_MAX = 300 * MB;
const LIMIT_MS = 20 * 60_000;
const PROGRAM = fileURLToPath(new URL('support/map-story.ts', import.meta.url));

/** Many small files, and few of which every other page lies elsewhere: a gigabyte has no more extents than that. */
const SHAPES = isFullMatrix()
  ? [
      { files: 1_000_000, extentsPerFile: 10 },
      { files: 160, extentsPerFile: 65_000 },
    ]
  : [
      { files: 100_000, extentsPerFile: 10 },
      { files: 12, extentsPerFile: 65_000 },
    ];

test.each(SHAPES)(
  'the map of $files files with $extentsPerFile extents each is written, merged and read in bounded memory',
  async ({ files, extentsPerFile }) => {
    const folder = await mkdtemp(join(tmpdir(), 'walnut-test-maps-'));
    try {
      const args = [
        '--max-old-space-size=128',
        PROGRAM,
        folder,
        String(files),
        String(extentsPerFile),
      ];
      const { stdout } = await promisify(execFile)(process.execPath, args);
      const story = JSON.parse(stdout) as MapStory;
      expect(story).toMatchObject({ files, extents: files * extentsPerFile });
      expect(story.peakRssBytes).toBeLessThan(PEAK_BYTES_MAX);
      // One file in ten was changed.
      expect(story.sharedChunks).toBeGreaterThan(story.chunks * 0.8);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
  LIMIT_MS,
);
