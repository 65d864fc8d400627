import { isIP } from 'node:net';
import { WalnutError } from '../../lib/walnut-error.ts';
import type { KeywordValues } from './connection-keywords.ts';
import type { ConnectionSources } from './connection-sources.ts';

/** One place where a server may listen. */
export type HostAddress = {
  /** A name, an IP address, or the absolute folder of a Unix socket. Certificates are checked against it. */
  readonly host: string;
  readonly port: number;
  /** The IP address to connect to instead of looking `host` up. */
  readonly hostaddr: string | null;
  /** The folder is the one libpq takes by default, which a password file calls `localhost`. */
  readonly isDefaultSocket: boolean;
  /** From a password file, for this host only. */
  readonly password: string | null;
  /** The same for physical replication, where the password file's database field says `replication`. */
  readonly replicationPassword: string | null;
};

const PORT_DEFAULT = 5432;
/** Debian's choice, then PostgreSQL's own. */
const SOCKET_FOLDERS = ['/var/run/postgresql', '/tmp'] as const;

/** Pairs the comma-separated `host`, `hostaddr` and `port` values, as `connectOptions2` in fe-connect.c does. */
export function parseHosts(values: KeywordValues, sources: ConnectionSources): HostAddress[] {
  const hostaddrs = split(values.get('hostaddr'));
  const hosts = split(values.get('host'));
  const ports = split(values.get('port'));
  const count = Math.max(hosts.length, hostaddrs.length, 1);
  if (hosts.length > 0 && hostaddrs.length > 0 && hosts.length !== hostaddrs.length) {
    throw uneven(`${hosts.length} hosts but ${hostaddrs.length} values of hostaddr`);
  }
  if (ports.length > 1 && ports.length !== count) {
    throw uneven(`${ports.length} ports for ${count} hosts`);
  }
  return Array.from({ length: count }, (_, index) => {
    const port = parsePort((ports.length === 1 ? ports[0] : ports[index]) ?? '');
    return parseHost({ host: hosts[index] ?? '', hostaddr: hostaddrs[index] ?? '', port }, sources);
  });
}

function split(value: string | undefined): string[] {
  return value === undefined || value === '' ? [] : value.split(',').map((part) => part.trim());
}

function parseHost(
  { host, hostaddr, port }: { host: string; hostaddr: string; port: number },
  sources: ConnectionSources,
): HostAddress {
  if (host.startsWith('@')) {
    throw new WalnutError('config', `read host "${host}": abstract Unix sockets are not supported`);
  }
  if (hostaddr !== '' && isIP(hostaddr) === 0) {
    throw new WalnutError('config', `read hostaddr "${hostaddr}": not an IP address`, {
      hint: 'Put a host name into host instead.',
    });
  }
  const standard = SOCKET_FOLDERS.find((folder) => sources.exists(folder)) ?? SOCKET_FOLDERS[0];
  const resolved = host || hostaddr || standard;
  return {
    host: resolved,
    port,
    hostaddr: hostaddr === '' ? null : hostaddr,
    isDefaultSocket: resolved === standard,
    password: null,
    replicationPassword: null,
  };
}

function parsePort(text: string): number {
  if (text === '') return PORT_DEFAULT;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) {
    throw new WalnutError('config', `read connection settings: invalid port number "${text}"`);
  }
  return port;
}

function uneven(reason: string): WalnutError {
  return new WalnutError('config', `read connection settings: ${reason}`, {
    hint: 'Give one port for all hosts, or one per host.',
  });
}
