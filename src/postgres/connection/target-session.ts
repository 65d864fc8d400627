import type { TargetSessionAttrs } from './connection-settings.ts';

export type SessionState = {
  /** The server is in recovery. */
  readonly standby: boolean;
  /** Transactions are read-only by default, or always. */
  readonly readOnly: boolean;
};

/** `prefer-standby` goes through the hosts twice: once for standbys, then for anything. */
export function targetPasses(target: TargetSessionAttrs): readonly TargetSessionAttrs[] {
  return target === 'prefer-standby' ? ['standby', 'any'] : [target];
}

/** Source: https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-CONNECT-TARGET-SESSION-ATTRS */
export function matchesTarget(state: SessionState, target: TargetSessionAttrs): boolean {
  if (target === 'read-write') return !state.readOnly;
  if (target === 'read-only') return state.readOnly;
  if (target === 'primary') return !state.standby;
  return target === 'standby' ? state.standby : true;
}
