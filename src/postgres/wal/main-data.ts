import { ByteReader } from '../../lib/byte-reader.ts';
import { BlockReferences, type RecordStart } from './block-reference.ts';

/** The bytes of a whole record in memory: `totalBytes` from `start`, header included. */
export type RecordBytes = RecordStart & { readonly bytes: Uint8Array };

/** Reused: reading one record ends before the next begins. */
const REFERENCES = new BlockReferences();

/**
 * Where the record's main data begins in `bytes`; it ends with the record. Block references are stepped over.
 * @throws RangeError when the record's parts do not add up to its length.
 */
export function mainDataStart(record: RecordBytes): number {
  REFERENCES.open(record);
  while (REFERENCES.next());
  if (REFERENCES.problem !== undefined) throw new RangeError(REFERENCES.problem);
  return REFERENCES.mainDataStart;
}

/** A reader that ends with the record's main data. */
export function readMainData(record: RecordBytes): ByteReader {
  const end = record.start + record.totalBytes;
  return new ByteReader(record.bytes.subarray(mainDataStart(record), end));
}
