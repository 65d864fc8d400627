/** `XLOG_BLCKSZ`. Walnut refuses servers built with another one. */
export const WAL_PAGE_BYTES = 8192;
export const SHORT_PAGE_HEADER_BYTES = 24;
export const LONG_PAGE_HEADER_BYTES = 40;
export const RECORD_HEADER_BYTES = 24;

/** Resource managers of src/include/access/rmgrlist.h, numbered alike in 13 to 18. */
export const RESOURCE_MANAGERS = {
  xlog: 0,
  transaction: 1,
  storage: 2,
  database: 4,
} as const;

/** `info & 0xF0` of XLOG records: src/include/catalog/pg_control.h. */
export const XLOG_OPERATIONS = {
  checkpointShutdown: 0x00,
  checkpointOnline: 0x10,
  switch: 0x40,
  backupEnd: 0x50,
  parameterChange: 0x60,
  restorePoint: 0x70,
  endOfRecovery: 0x90,
  overwriteContrecord: 0xd0,
  checkpointRedo: 0xe0,
} as const;

/** What the first two bits of a page's `xlp_info` mean in every version. */
export const PAGE_FLAG_FIRST_IS_CONTRECORD = 0x0001;
export const PAGE_FLAG_LONG_HEADER = 0x0002;
