import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { alignedBuffer, noteAligned } from '../../lib/aligned-buffer.ts';
import { PACKAGE_ROOT } from '../../lib/package-root.ts';

/** What is used here of `WebAssembly`, whose types come with the browser's and not with Node's. */
type WasmEngine = {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

/** The exports of `record-checksum.as.ts`. */
type ChecksumExports = {
  readonly memory: { readonly buffer: ArrayBuffer; readonly grow: (wasmPages: number) => number };
  readonly prepare: () => void;
  readonly isIntact: (at: number, total: number) => number;
};

/** Answers whether the record of `total` bytes at `at`, counted in its memory, has the checksum that it says. */
export type RecordChecksum = ChecksumExports['isIntact'];

const { WebAssembly: WASM } = globalThis as unknown as { readonly WebAssembly: WasmEngine };
const WASM_PAGE_BYTES = 65_536;
const WASM_PATH = join(PACKAGE_ROOT, 'build/record-checksum.wasm');

const checksums = new WeakMap<ArrayBufferLike, RecordChecksum>();

/**
 * Memory for WAL that is to be walked: the checksums of its records are computed where they lie, by WebAssembly, which
 * takes less than JavaScript. It is aligned as for writes past the page cache. Touched only as far as it is used.
 */
export function makeWalBuffers(count: number, bytes: number): Buffer[] {
  const module = loadModule();
  if (module === null) return Array.from({ length: count }, () => plainBuffer(bytes));
  const { memory, prepare, isIntact } = new WASM.Instance(module).exports as ChecksumExports;
  const begin = memory.buffer.byteLength;
  // Views would be detached by growing, so it happens once, before there are any.
  memory.grow(Math.ceil((count * bytes) / WASM_PAGE_BYTES));
  prepare();
  checksums.set(memory.buffer, isIntact);
  noteAligned(memory.buffer);
  return Array.from({ length: count }, (_, index) =>
    Buffer.from(memory.buffer, begin + index * bytes, bytes),
  );
}

/** The compiled checksum; null when it was not built. */
function loadModule(): object | null {
  try {
    return new WASM.Module(readFileSync(WASM_PATH));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

function plainBuffer(bytes: number): Buffer {
  const { buffer, byteOffset } = alignedBuffer(bytes);
  return Buffer.from(buffer, byteOffset, bytes);
}

/** How records are checked that lie in memory of {@link makeWalBuffers}; null for other memory. */
export function recordChecksumOf(buffer: ArrayBufferLike): RecordChecksum | null {
  return checksums.get(buffer) ?? null;
}
