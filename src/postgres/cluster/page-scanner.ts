import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { assert } from '../../lib/assert.ts';
import { PACKAGE_ROOT } from '../../lib/package-root.ts';
import { PAGE_BYTES, pageProblem } from './data-page.ts';
import { xxh64 } from './page-hash.ts';

export type PageScanOptions = {
  /** How many pages at the beginning of {@link PageScanner.pages} to scan. */
  readonly pageCount: number;
  /** Number of the first page in its relation fork: block in the file + segment · 131072. */
  readonly firstBlock: number;
  /** True when the cluster has data checksums. */
  readonly verifyChecksums: boolean;
  /** Only checksums of pages last changed before this are looked at: where the backup began. */
  readonly startLsn: bigint;
};

export type PageScan = {
  /** Indexes, from 0, of the pages with which something is wrong; `pageProblem` says what. */
  readonly badPages: readonly number[];
};

export type PageScannerImplementation = 'wasm' | 'javascript';

/** What scans: both kinds own their memory and answer the same. */
type Kernel = {
  readonly pages: Uint8Array;
  readonly hashes: Uint8Array;
  readonly scan: (options: PageScanOptions) => number[];
};

/** A compiled WebAssembly module. */
type WasmModule = object;

/** What is used here of `WebAssembly`, whose types come with the browser's and not with Node's. */
type WasmEngine = {
  readonly compile: (bytes: Uint8Array) => Promise<WasmModule>;
  readonly Instance: new (module: WasmModule) => { readonly exports: unknown };
};

/** The exports of `page-scanner.as.ts`. */
type ScannerExports = {
  readonly memory: { readonly buffer: ArrayBuffer; readonly grow: (wasmPages: number) => number };
  // oxlint-disable-next-line max-params -- fixed by what WebAssembly can pass
  readonly scan: (
    pages: number,
    hashes: number,
    bad: number,
    pageCount: number,
    firstBlock: number,
    verifyChecksums: number,
    startLsn: bigint,
  ) => number;
};

const { WebAssembly: WASM } = globalThis as unknown as { readonly WebAssembly: WasmEngine };
const WASM_PAGE_BYTES = 65_536;
const WASM_PATH = join(PACKAGE_ROOT, 'build/page-scanner.wasm');

/**
 * Hashes and checks runs of pages in one pass over its own memory, into which files are read directly:
 * a new page must be all zero; of a page older than `startLsn` the checksum must match where the cluster has checksums;
 * of any other page the header must make sense. A bad page may have been read while it was written: read it again.
 */
export class PageScanner {
  readonly implementation: PageScannerImplementation;
  /** Where the pages to scan are put. The same memory for the scanner's whole life. */
  readonly pages: Uint8Array;
  /** XXH64 (seed 0) of each page of the last scan, 8 bytes little-endian each. */
  readonly hashes: Uint8Array;
  readonly #scan: Kernel['scan'];

  private constructor(implementation: PageScannerImplementation, kernel: Kernel) {
    this.implementation = implementation;
    this.pages = kernel.pages;
    this.hashes = kernel.hashes;
    this.#scan = kernel.scan;
  }

  /**
   * @param capacityBytes size of {@link pages}, a multiple of 8192.
   * @param implementation `javascript` to do without WASM, which a missing build does by itself.
   */
  static async create(
    capacityBytes: number,
    implementation: PageScannerImplementation = 'wasm',
  ): Promise<PageScanner> {
    assert(
      capacityBytes > 0 && capacityBytes % PAGE_BYTES === 0,
      'a page scanner holds whole pages',
    );
    const module = implementation === 'wasm' ? await loadModule() : null;
    return module === null
      ? new PageScanner('javascript', javascriptKernel(capacityBytes))
      : new PageScanner('wasm', wasmKernel(module, capacityBytes));
  }

  /** Scans the pages that stand at the beginning of {@link pages}, and overwrites {@link hashes}. */
  scan(options: PageScanOptions): PageScan {
    assert(
      Number.isInteger(options.pageCount) &&
        options.pageCount >= 0 &&
        options.pageCount * PAGE_BYTES <= this.pages.length,
      'a scan stays within the scanner',
    );
    assert(options.firstBlock >= 0 && options.firstBlock <= 0xffff_ffff, 'a block has 32 bits');
    return { badPages: this.#scan(options) };
  }
}

let loading: Promise<WasmModule | null> | null = null;

/** The compiled scanner, once per thread; null when it was not built. */
async function loadModule(): Promise<WasmModule | null> {
  loading ??= compileModule();
  return loading;
}

async function compileModule(): Promise<WasmModule | null> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(WASM_PATH);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
  return WASM.compile(bytes);
}

function wasmKernel(module: WasmModule, capacityBytes: number): Kernel {
  const { exports } = new WASM.Instance(module);
  const { memory, scan } = exports as ScannerExports;
  const pageCapacity = capacityBytes / PAGE_BYTES;
  const pagesAt = memory.buffer.byteLength;
  const hashesAt = pagesAt + capacityBytes;
  const badAt = hashesAt + pageCapacity * 8;
  // Views would be detached by growing, so it happens once, before there are any.
  memory.grow(Math.ceil((badAt + pageCapacity * 4 - pagesAt) / WASM_PAGE_BYTES));
  const bad = new Uint32Array(memory.buffer, badAt, pageCapacity);
  return {
    pages: new Uint8Array(memory.buffer, pagesAt, capacityBytes),
    hashes: new Uint8Array(memory.buffer, hashesAt, pageCapacity * 8),
    scan: ({ pageCount, firstBlock, verifyChecksums, startLsn }) => {
      const verify = verifyChecksums ? 1 : 0;
      const count = scan(pagesAt, hashesAt, badAt, pageCount, firstBlock, verify, startLsn);
      return Array.from(bad.subarray(0, count));
    },
  };
}

function javascriptKernel(capacityBytes: number): Kernel {
  const pages = new Uint8Array(capacityBytes);
  const hashes = new Uint8Array((capacityBytes / PAGE_BYTES) * 8);
  const hashView = new DataView(hashes.buffer);
  return {
    pages,
    hashes,
    scan: ({ pageCount, firstBlock, verifyChecksums, startLsn }) => {
      const bad: number[] = [];
      for (let index = 0; index < pageCount; index += 1) {
        const page = pages.subarray(index * PAGE_BYTES, (index + 1) * PAGE_BYTES);
        hashView.setBigUint64(index * 8, xxh64(page), true);
        const block = firstBlock + index;
        if (pageProblem(page, { block, verifyChecksums, startLsn }) !== null) bad.push(index);
      }
      return bad;
    },
  };
}
