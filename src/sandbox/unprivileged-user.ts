import { readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { WalnutError } from '../lib/walnut-error.ts';

/** An account of this machine under which a server may run; PostgreSQL refuses to run as root. */
export type SystemUser = {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
};

/** Tried in this order when Walnut itself is root. `nobody` exists on every Linux. */
const CANDIDATES = ['postgres', 'nobody'] as const;

/**
 * The account for temporary servers: this process's own, or as root `postgres`, else `nobody`. The account has an
 * entry in the password file, because initdb and the server look their own name up there.
 */
export async function unprivilegedUser(passwdPath = '/etc/passwd'): Promise<SystemUser> {
  if (!isRoot()) return ownUser();
  const users = parsePasswd(await readFile(passwdPath, 'utf8'));
  for (const name of CANDIDATES) {
    const user = users.find((entry) => entry.name === name && entry.uid !== 0);
    if (user !== undefined) return user;
  }
  throw new WalnutError(
    'unsupported',
    'choose an account for a temporary server: neither postgres nor nobody exists',
    { hint: 'Create one with: useradd --system postgres — or run Walnut as an ordinary user.' },
  );
}

export function parsePasswd(text: string): SystemUser[] {
  return text
    .split('\n')
    .map((line) => line.split(':'))
    .filter((fields) => fields.length >= 7 && /^\d+$/.test(`${fields[2]}${fields[3]}`))
    .map(([name = '', , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }));
}

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/**
 * What to pass to `spawn` so that the child runs as `user`. Only root can change its identity; anyone else already is
 * the user that `unprivilegedUser` names.
 */
export function spawnIdentity(user: SystemUser): { uid?: number; gid?: number } {
  return isRoot() ? { uid: user.uid, gid: user.gid } : {};
}

function ownUser(): SystemUser {
  try {
    const { username, uid, gid } = userInfo();
    return { name: username, uid, gid };
  } catch (error) {
    throw new WalnutError(
      'unsupported',
      `run a temporary server as user ${process.getuid?.() ?? '?'}: the account has no name on this machine`,
      { hint: 'Add the account to /etc/passwd; initdb needs it.', cause: error },
    );
  }
}
