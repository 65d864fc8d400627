/** What is used here of `WebAssembly`, whose types come with the browser's and not with Node's. */
type WasmMemory = new (size: { readonly initial: number; readonly maximum: number }) => {
  readonly buffer: ArrayBuffer;
};

const { WebAssembly: WASM } = globalThis as unknown as {
  readonly WebAssembly: { readonly Memory: WasmMemory };
};
const WASM_PAGE_BYTES = 65_536;

/** What every file system asks of the memory, length and place of a write that goes past the page cache. */
export const ALIGNMENT_BYTES = 4096;

const aligned = new WeakSet<ArrayBufferLike>();

/** Memory whose address is a multiple of {@link ALIGNMENT_BYTES}, which Node promises of WebAssembly's memory only. */
export function alignedBuffer(bytes: number): Uint8Array {
  const pages = Math.ceil(bytes / WASM_PAGE_BYTES);
  const { buffer } = new WASM.Memory({ initial: pages, maximum: pages });
  aligned.add(buffer);
  return new Uint8Array(buffer, 0, bytes);
}

/** Says that memory of a WebAssembly module is used as that of {@link alignedBuffer}; where in it is seen to later. */
export function noteAligned(memory: ArrayBufferLike): void {
  aligned.add(memory);
}

/** Whether these bytes begin at an aligned address of an {@link alignedBuffer}. */
export function isAligned(bytes: Uint8Array): boolean {
  return aligned.has(bytes.buffer) && bytes.byteOffset % ALIGNMENT_BYTES === 0;
}
