import { WalnutError } from '../lib/walnut-error.ts';

/** No key part begins with a dot: neither `.` and `..` nor a driver's own dot files can be named by a key. */
const SEGMENT = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/** The longest file name of Linux file systems, in bytes. */
const SEGMENT_BYTES_MAX = 255;

/** The longest key of S3, in bytes. */
const KEY_BYTES_MAX = 1024;

/** First segment that belongs to the drivers: temporary files lie there. */
export const TEMPORARY_FOLDER = 'tmp';

/** Throws `storage` unless `key` can name an object. Keys also come out of stored manifests, so they are never trusted. */
export function checkKey(key: string): void {
  const fault = faultOf(key);
  if (fault !== null) {
    throw new WalnutError(
      'storage',
      `use object key ${JSON.stringify(key.slice(0, 200))}: ${fault}`,
    );
  }
}

/** Throws `storage` unless `prefix` is empty or a key followed by `/`. */
export function checkPrefix(prefix: string): void {
  if (prefix === '') return;
  const fault = prefix.endsWith('/') ? faultOf(prefix.slice(0, -1)) : 'it does not end with "/"';
  if (fault !== null) {
    throw new WalnutError(
      'storage',
      `list objects under ${JSON.stringify(prefix.slice(0, 200))}: ${fault}`,
    );
  }
}

/** Whether a name found in a folder can be one segment of a key; everything else there is not an object. */
export function isKeySegment(name: string): boolean {
  return name.length <= SEGMENT_BYTES_MAX && SEGMENT.test(name);
}

function faultOf(key: string): string | null {
  if (key.length > KEY_BYTES_MAX) return `it is longer than ${KEY_BYTES_MAX} bytes`;
  const segments = key.split('/');
  if (segments[0] === TEMPORARY_FOLDER) return `"${TEMPORARY_FOLDER}" is kept for temporary files`;
  return segments.every(isKeySegment)
    ? null
    : `each part must be 1 to ${SEGMENT_BYTES_MAX} letters, digits, ".", "_" or "-", beginning with a letter or digit`;
}
