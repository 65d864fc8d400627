import { hasCode, WalnutError } from '../lib/walnut-error.ts';
import type { Placement } from './placement.ts';

/** Files named in an error; a bundle can hold thousands. */
const NAMED_FILES_MAX = 20;

/** Names the files that a damaged or missing part of the repository hits. */
export function explainDamage(
  error: unknown,
  part: string,
  placements: readonly Placement[],
): unknown {
  if (!hasCode(error, 'object-damaged', 'object-missing')) return error;
  const files = [...new Set(placements.map(({ path }) => path))];
  const named = files.slice(0, NAMED_FILES_MAX);
  const more = files.length > named.length ? ` and ${files.length - named.length} more` : '';
  return new WalnutError(
    error.code,
    `restore from ${part}: ${error.message}; it holds parts of ${named.join(', ')}${more}`,
    {
      hint:
        'Nothing of the restored cluster can be used. Restore another backup (`walnut list`), and run `walnut verify` to ' +
        'see everything that is damaged.',
      cause: error,
      details: { ...error.details, files: named },
    },
  );
}
