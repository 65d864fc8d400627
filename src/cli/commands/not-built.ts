import { WalnutError } from '../../lib/walnut-error.ts';

/** Stands in for an engine that is being written. */
export function notBuilt(command: string): WalnutError {
  return new WalnutError('failed', `run walnut ${command}: not built yet`);
}
