import { ZodError } from 'zod';
import { hasCode, type WalnutError } from '../lib/walnut-error.ts';

/**
 * What an error while reading an object says about that object; throws what is not about one object: the repository is
 * gone, the work was interrupted, or Walnut is wrong.
 */
export function faultOf(error: unknown): string {
  if (hasCode(error, 'object-damaged', 'unsupported')) return bareReason(error);
  if (hasCode(error, 'object-missing')) return 'missing';
  if (hasCode(error, 'storage', 'permission')) return `it cannot be read: ${error.message}`;
  if (error instanceof ZodError) return 'its content has no known form';
  if (error instanceof SyntaxError || error instanceof RangeError) {
    return `its content cannot be understood: ${error.message}`;
  }
  throw error;
}

/** The reason without "read object KEY:", which the report says already. */
function bareReason(error: WalnutError): string {
  const { reason } = error.details;
  return typeof reason === 'string' ? reason : error.message;
}
