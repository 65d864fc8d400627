import { recoverySettings } from '../postgres/cluster/recovery-settings.ts';
import type { Setting } from '../postgres/cluster/setting-lines.ts';
import type { Manifest } from '../repository/manifest.ts';
import type { RecoveryEnd, RecoveryOrder } from './recovery-end.ts';
import type { RestoreRequest } from './restore-request.ts';

export type SettingsPlan = {
  readonly request: Pick<RestoreRequest, 'archiveMode' | 'settings' | 'standby'>;
  readonly end: RecoveryEnd;
  readonly order: RecoveryOrder;
  readonly restoreCommand: string;
};

/** Everything that is appended to postgresql.auto.conf, in order; the last line of a name counts. */
export function restoredSettings({
  request,
  end,
  order,
  restoreCommand,
}: SettingsPlan): readonly Setting[] {
  const extra = [...request.settings].map(([name, value]) => ({ name, value }));
  return recoverySettings({
    ...order,
    // A standby has to follow the next promotion of the server it copies; everything else must not be redirected.
    timeline: request.standby ? 'latest' : end.timeline,
    restoreCommand,
    archiveMode: request.archiveMode,
    extra: request.standby ? [{ name: 'hot_standby', value: 'on' }, ...extra] : extra,
  });
}

export type ChangedSetting = {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  /** The statement that brings the old value back; some need a restart. */
  readonly undo: string;
};

/** Settings of the server that the restored copy has otherwise, apart from those of recovery itself. */
export function changedSettings(
  settings: readonly Setting[],
  manifest: Pick<Manifest, 'settings'>,
): ChangedSetting[] {
  const final = new Map(settings.map(({ name, value }) => [name, value]));
  const changed: ChangedSetting[] = [];
  for (const [name, to] of final) {
    const from = manifest.settings[name];
    if (name.startsWith('recovery_target') || name === 'restore_command') continue;
    if (from === undefined || from === to) continue;
    const undo = `ALTER SYSTEM SET ${name} = '${from.replaceAll("'", "''")}';`;
    changed.push({ name, from, to, undo });
  }
  return changed;
}
