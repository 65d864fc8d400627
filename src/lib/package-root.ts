import { dirname } from 'node:path';

/** The folder of the installed package: `src/lib/`, and `dist/cli/` with all of the built product, lie as deep in it. */
export const PACKAGE_ROOT: string = dirname(dirname(import.meta.dirname));
