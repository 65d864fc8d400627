const HALF_DIGITS = 8;
const HALF_RANGE = 0x1_0000_0000;

/**
 * 16 hexadecimal digits for a name that no other process or thread draws by chance; not secret. `node:crypto` takes
 * longer to load than many a command has to do.
 */
export function uniqueSuffix(): string {
  return half() + half();
}

function half(): string {
  return Math.floor(Math.random() * HALF_RANGE)
    .toString(16)
    .padStart(HALF_DIGITS, '0');
}
