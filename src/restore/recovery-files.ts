import { readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { syncFolder } from '../lib/durable-file.ts';
import { CONTROL_FILE_PATH, parseControlFile } from '../postgres/cluster/control-file.ts';
import { minimalConfiguration } from '../postgres/cluster/minimal-configuration.ts';
import { formatSettings, type Setting } from '../postgres/cluster/setting-lines.ts';
import { formatTablespaceMap, parseTablespaceMap } from '../postgres/cluster/tablespace-map.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { toMajorVersion } from '../postgres/version.ts';
import type { Manifest } from '../repository/manifest.ts';
import { fileFailure, systemCodeOf } from './file-failure.ts';
import { ownAccountName } from './file-owner.ts';
import type { PlacedTablespace } from './locations.ts';
import { ensureOwnedFolder, writeOwnedFile } from './owned-files.ts';
import type { RestorePlan } from './plan.ts';
import { describeTarget } from './target.ts';

const AUTO_CONFIGURATION = 'postgresql.auto.conf';
const SAVED_FOLDER = 'saved_configuration';
/** Left by an earlier life of the server; each would change how the copy recovers, or stop it. */
const STALE_FILES = [
  'recovery.signal',
  'standby.signal',
  'recovery.conf',
  'recovery.done',
  'backup_label.old',
  'tablespace_map.old',
  'postmaster.opts',
] as const;
const SUPERUSER_DEFAULT = 'postgres';

/** Writes what tells PostgreSQL to recover, and how: labels, signal file, settings. pg_control is not among it. */
export async function writeRecoveryFiles(plan: RestorePlan): Promise<void> {
  const { locations, backup, request } = plan;
  const { manifest } = backup;
  await removeStaleFiles(locations.dataDirectory);
  await writeConfiguration(plan);
  await appendSettings(plan);
  await writeInside(plan, 'backup_label', Buffer.from(manifest.backupLabel, 'base64'));
  const map = relocatedTablespaceMap(manifest, locations.tablespaces);
  if (map !== null) await writeInside(plan, 'tablespace_map', map);
  await writeInside(plan, request.standby ? 'standby.signal' : 'recovery.signal', '');
  await syncFolder(locations.dataDirectory);
}

/** The first step where a cluster stands already: from now on no server starts on it. */
export async function removeControlFile(dataDirectory: string): Promise<void> {
  const path = join(dataDirectory, CONTROL_FILE_PATH);
  try {
    await rm(path);
    await syncFolder(dirname(path));
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw fileFailure(error, `remove ${path}`);
  }
}

/** The last step: without this file no server starts on the data directory. */
export async function writeControlFile(plan: RestorePlan): Promise<void> {
  const content = Buffer.from(plan.backup.manifest.controlFile, 'base64');
  await writeInside(plan, CONTROL_FILE_PATH, content);
  await syncFolder(join(plan.locations.dataDirectory, 'global'));
}

/**
 * The tablespace_map of the backup with the new folders; null when the backup has none. The server makes the links of
 * pg_tblspc from it when recovery begins.
 */
function relocatedTablespaceMap(
  manifest: Pick<Manifest, 'tablespaceMap' | 'majorVersion'>,
  tablespaces: readonly PlacedTablespace[],
): string | null {
  const major = toMajorVersion(manifest.majorVersion);
  const recorded = parseTablespaceMap(Buffer.from(manifest.tablespaceMap, 'base64'), major);
  if (recorded.length === 0) return null;
  const relocated = recorded.map(({ oid }) => {
    const placed = tablespaces.find((each) => each.oid === oid);
    if (placed !== undefined) return { oid, location: placed.directory };
    throw new WalnutError(
      'object-damaged',
      `restore tablespace ${oid}: it stands in tablespace_map, and the manifest does not know it`,
      { hint: 'Restore another backup (`walnut list`).' },
    );
  });
  return formatTablespaceMap(relocated, major);
}

async function removeStaleFiles(dataDirectory: string): Promise<void> {
  for (const name of STALE_FILES) await rm(join(dataDirectory, name), { force: true });
}

async function appendSettings(plan: RestorePlan): Promise<void> {
  const { backup, request, settings, locations, owner } = plan;
  const path = join(locations.dataDirectory, AUTO_CONFIGURATION);
  const present = await readFile(path, 'utf8').catch((error: unknown) => {
    if (systemCodeOf(error) === 'ENOENT') return '';
    throw fileFailure(error, `read ${path}`);
  });
  const kept = plan.content.hasConfiguration ? present : withoutAccessFiles(present);
  const gap = kept === '' || kept.endsWith('\n') ? '' : '\n';
  const what = `# Restored by Walnut from backup ${backup.id} to ${describeTarget(request.target)}.`;
  const comment = what.replaceAll(/[\n\r]/g, ' ');
  const content = `${kept}${gap}${comment}\n${formatSettings([...accessFileSettings(plan), ...settings])}`;
  await writeOwnedFile({ path, content, mode: 0o600, owner });
}

/**
 * Where the configuration lies elsewhere, an earlier restore may have named its own access files in the settings: they
 * would win over the minimal ones here, and later over those of the server's real configuration.
 */
function withoutAccessFiles(settings: string): string {
  const lines = settings.split('\n');
  return lines.filter((line) => !/^\s*(?:hba_file|ident_file)\s*=/i.test(line)).join('\n');
}

/** The three files that a server needs, where the backup's data directory does not hold them. */
async function writeConfiguration(plan: RestorePlan): Promise<void> {
  const { backup, content, owner } = plan;
  const { manifest } = backup;
  await saveOriginals(plan);
  const { hasConfiguration } = content;
  const [lacksAccessRules, lacksNameMaps] = ['hba_file', 'ident_file'].map(
    (setting) => !hasConfiguration || isOutside(manifest, setting),
  );
  if (hasConfiguration && !lacksAccessRules && !lacksNameMaps) return;
  const control = parseControlFile(Buffer.from(manifest.controlFile, 'base64'));
  const minimal = minimalConfiguration({
    settings: new Map(Object.entries(manifest.settings)),
    required: control.requiredSettings,
    owner: owner?.name ?? (await ownAccountName()),
    superuser: SUPERUSER_DEFAULT,
  });
  if (!hasConfiguration) await writeInside(plan, 'postgresql.conf', minimal.postgresqlConf);
  if (lacksAccessRules) await writeInside(plan, 'pg_hba.conf', minimal.pgHbaConf);
  if (lacksNameMaps) await writeInside(plan, 'pg_ident.conf', minimal.pgIdentConf);
}

/** A postgresql.conf of the backup must not lead to access rules that belong to the live server. */
function accessFileSettings({ backup, content, locations }: RestorePlan): Setting[] {
  if (!content.hasConfiguration) return [];
  const names = [
    ['hba_file', 'pg_hba.conf'],
    ['ident_file', 'pg_ident.conf'],
  ] as const;
  return names
    .filter(([setting]) => isOutside(backup.manifest, setting))
    .map(([name, file]) => ({ name, value: join(locations.dataDirectory, file) }));
}

function isOutside({ externalFiles }: Manifest, setting: string): boolean {
  return externalFiles.some((file) => file.setting === setting);
}

async function saveOriginals(plan: RestorePlan): Promise<void> {
  const { externalFiles } = plan.backup.manifest;
  if (externalFiles.length === 0) return;
  const { dataDirectory } = plan.locations;
  await ensureOwnedFolder(join(dataDirectory, SAVED_FOLDER), { mode: 0o700, owner: plan.owner });
  const taken = new Set<string>();
  for (const [index, { path, content }] of externalFiles.entries()) {
    const name = safeName(path, index, taken);
    await writeInside(plan, join(SAVED_FOLDER, name), Buffer.from(content, 'base64'));
  }
  await syncFolder(join(dataDirectory, SAVED_FOLDER));
}

function safeName(path: string, index: number, taken: Set<string>): string {
  const base = basename(path).replaceAll(/[^A-Za-z0-9._-]/g, '_');
  const isUsable = /^[A-Za-z0-9_]/.test(base) && !taken.has(base);
  const name = isUsable ? base : `${index + 1}-${base}`;
  taken.add(name);
  return name;
}

async function writeInside(
  { locations, owner, backup }: RestorePlan,
  path: string,
  content: Uint8Array | string,
): Promise<void> {
  // Readable by the group exactly when the data directory is.
  const mode = (backup.manifest.cluster.dataDirectoryMode & 0o050) === 0 ? 0o600 : 0o640;
  await writeOwnedFile({ path: join(locations.dataDirectory, path), content, mode, owner });
}
