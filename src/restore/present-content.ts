import { Blake3 } from '../lib/hashing.ts';
import { PageScanner } from '../postgres/cluster/page-scanner.ts';
import { FRAME_BYTES, PAGE_BYTES } from '../repository/frame.ts';
import type { TableFrame } from './frame-table.ts';
import type { Placement } from './placement.ts';
import type { TargetFiles } from './target-files.ts';

const HASH_BYTES = 8;
/** Read and hashed at once: the length of almost every stretch of a relation. */
const PART_BYTES: number = FRAME_BYTES;
const ZERO_PAGE: Buffer = Buffer.alloc(PAGE_BYTES);

/**
 * Finds out what of a backup stands in the target already, by hashes alone: a page may be torn or wrong under an equal
 * LSN, and a time of change proves nothing. One per worker, with memory of its own.
 */
export class PresentContent {
  readonly #files: TargetFiles;
  readonly #scanner: PageScanner;

  private constructor(files: TargetFiles, scanner: PageScanner) {
    this.#files = files;
    this.#scanner = scanner;
  }

  static async create(files: TargetFiles): Promise<PresentContent> {
    return new PresentContent(files, await PageScanner.create(PART_BYTES));
  }

  /**
   * The parts of a placement whose place holds something else. Pages are compared one by one with the hashes of the
   * pack's index, everything else as a whole.
   */
  differing(placement: Placement, frame: TableFrame): readonly Placement[] {
    const { frameOffset, bytes } = placement;
    if (frameOffset + bytes <= frame.pageCount * PAGE_BYTES) {
      return this.#pages(placement, (index, page) => {
        const at = (frameOffset / PAGE_BYTES + index) * HASH_BYTES;
        return this.#pageHash(page).equals(frame.pageHashes.subarray(at, at + HASH_BYTES));
      });
    }
    return this.#holdsBytes(placement, frame) ? [] : [placement];
  }

  /** The pages of a placement that are not zero. */
  notZero(placement: Placement): readonly Placement[] {
    return this.#pages(placement, (_, page) => {
      const from = page * PAGE_BYTES;
      return ZERO_PAGE.equals(this.#scanner.pages.subarray(from, from + PAGE_BYTES));
    });
  }

  /**
   * Runs of pages that `isRight` does not accept.
   * @param isRight is told the page's index in the placement, and in the scanner.
   */
  #pages(placement: Placement, isRight: (index: number, page: number) => boolean): Placement[] {
    const wrong: Placement[] = [];
    const count = placement.bytes / PAGE_BYTES;
    let first = 0;
    for (const { from, bytes, isRead } of this.#parts(placement)) {
      const pageCount = bytes / PAGE_BYTES;
      const options = { firstBlock: 0, verifyChecksums: false, startLsn: 0n };
      if (isRead) this.#scanner.scan({ pageCount, ...options });
      for (let page = 0; page < pageCount; page += 1) {
        const index = from / PAGE_BYTES + page;
        if (!isRead || !isRight(index, page)) continue;
        if (index > first) wrong.push(partOf(placement, first, index));
        first = index + 1;
      }
    }
    if (count > first) wrong.push(partOf(placement, first, count));
    return wrong;
  }

  #pageHash(page: number): Buffer {
    const { hashes } = this.#scanner;
    return Buffer.from(hashes.buffer, hashes.byteOffset + page * HASH_BYTES, HASH_BYTES);
  }

  /** Compares with the hash of the file where it lies in one frame, else with that of the frame, all of which it is. */
  #holdsBytes({ hash, ...placement }: Placement, frame: TableFrame): boolean {
    const isWholeFrame = placement.frameOffset === 0 && placement.bytes === frame.plainBytes;
    if (hash === null && !isWholeFrame) return false;
    const hasher = new Blake3();
    for (const { bytes, isRead } of this.#parts(placement)) {
      if (!isRead) return false;
      hasher.update(this.#scanner.pages.subarray(0, bytes));
    }
    return hasher.digest().equals(hash ?? frame.hash);
  }

  /** Reads the place of a placement into the scanner, part by part. */
  *#parts(
    placement: Omit<Placement, 'hash'>,
  ): Generator<{ readonly from: number; readonly bytes: number; readonly isRead: boolean }> {
    for (let from = 0; from < placement.bytes; from += PART_BYTES) {
      const bytes = Math.min(PART_BYTES, placement.bytes - from);
      const into = this.#scanner.pages.subarray(0, bytes);
      const isRead = this.#files.read(placement, placement.fileOffset + from, into);
      yield { from, bytes, isRead };
    }
  }
}

/** Pages `first` to before `end` of a placement of pages. */
function partOf(placement: Placement, first: number, end: number): Placement {
  return {
    ...placement,
    frameOffset: placement.frameOffset + first * PAGE_BYTES,
    fileOffset: placement.fileOffset + first * PAGE_BYTES,
    bytes: (end - first) * PAGE_BYTES,
  };
}
