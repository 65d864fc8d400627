/**
 * zstd contexts that live as long as their thread. Node's own `zstdCompressSync` makes a context and an output buffer for
 * every call, which costs a fifth of the speed at level 1 and half of it when decompressing, and keeps the garbage
 * collector busy (docs/decisions/2026-11-23-zstd-contexts.md). This calls what that function calls (lib/zlib.js,
 * `processChunkSync`) on a stream object that is kept. The fields are not part of Node's documented interface: where
 * they look otherwise, `null` is answered and the caller uses the documented functions.
 */
import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib';
/** One compressor or decompressor. After a failure it must not be used again: its state is unknown. */
export class ZstdContext {
  #stream;
  #handle;
  #state;
  #failure = null;
  constructor(stream, handle, state) {
    this.#stream = stream;
    this.#handle = handle;
    this.#state = state;
    // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the native handle calls this property
    handle.onerror = (message) => {
      this.#failure = message;
    };
  }
  static compressor(level) {
    return ZstdContext.#over(
      createZstdCompress({
        params: {
          [constants.ZSTD_c_compressionLevel]: level,
          [constants.ZSTD_c_contentSizeFlag]: 1,
        },
      }),
    );
  }
  static decompressor() {
    return ZstdContext.#over(createZstdDecompress());
  }
  static #over(stream) {
    const native = stream;
    const { _handle: handle, _writeState: state } = native;
    if (typeof handle?.writeSync === 'function' && state instanceof Uint32Array) {
      return new ZstdContext(native, handle, state);
    }
    native.close();
    return null;
  }
  /**
   * Makes one whole zstd frame of all of `input`, or one `input` of a whole frame; answers the bytes written to `output`,
   * or null when something is wrong: the input is damaged, or the output too small.
   */
  run(input, output) {
    this.#failure = null;
    this.#handle.writeSync(constants.ZSTD_e_end, input, 0, input.length, output, 0, output.length);
    const [outputLeft, inputLeft] = [this.#state[0], this.#state[1]];
    return this.#failure === null && inputLeft === 0 ? output.length - outputLeft : null;
  }
  close() {
    this.#stream.close();
  }
}
