import { randomBytes } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { must } from '../lib/assert.ts';
import { sleep } from '../lib/sleep.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import {
  makeCluster,
  makeOwnedFolder,
  settingArguments,
  type InitdbOptions,
  type Settings,
} from './cluster-folder.ts';
import type { PostgresqlBinaries } from './postgresql-binaries.ts';
import { runProgram, tail } from './run-program.ts';
import {
  giveToUser,
  makeScratchFolder,
  removeFolder,
  type ScratchFolder,
} from './scratch-folder.ts';
import { ServerProcess, type ServerExit } from './server-process.ts';
import type { SystemUser } from './unprivileged-user.ts';

export type StopMode = 'smart' | 'fast' | 'immediate';

type ServerOptions = {
  /** Programs that `user` can run: see `stageBinaries`. */
  readonly binaries: PostgresqlBinaries;
  /** An existing folder that `user` can pass through; the server's log, socket and, when created, data go there. */
  readonly folder: string;
  readonly user: SystemUser;
  /** Listen on 127.0.0.1 as well: a port number, or `free` for any; by default only the Unix socket is there. */
  readonly port?: number | 'free' | undefined;
  /** Given on the command line at each start, so they win over the cluster's files. */
  readonly overrides?: Settings;
  /** More environment for the server and what it runs, such as its restore_command. */
  readonly env?: Readonly<Record<string, string>>;
};

export type CreateServerOptions = ServerOptions & {
  /** Written to postgresql.conf, so that a backup of the cluster carries them. */
  readonly settings?: Settings;
  readonly hbaLines?: readonly string[];
  readonly initdb?: InitdbOptions;
};

export type AdoptServerOptions = ServerOptions & {
  /** A complete cluster, such as a restored one. As root its files are handed to `user`. */
  readonly dataFolder: string;
  /** Of the superuser, when known, for `connectionString` over TCP. */
  readonly password?: string;
};

export type WaitOptions = { readonly timeoutMs?: number; readonly signal?: AbortSignal };

export type ConnectionStringOptions = {
  readonly database?: string;
  readonly user?: string;
  readonly password?: string;
  /** `socket` (default) needs no password; `tcp` needs a server with a port. */
  readonly over?: 'socket' | 'tcp';
  readonly parameters?: Readonly<Record<string, string>>;
};

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 60_000;
const POLL_MS = 20;
const PROGRAM_TIMEOUT_MS = 60_000;
/** Another process may take the free port between our choice and the server's start. */
const PORT_ATTEMPTS = 5;
/** `sun_path` has 108 bytes (unix(7)); PostgreSQL appends `/.s.PGSQL.5432.lock`. */
const SOCKET_FOLDER_BYTES_MAX = 80;
const SOCKET_PORT = 5432;
const STOP_SIGNALS = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const;

/** Makes a new cluster in `folder`/data with superuser `postgres`. It is not started yet. */
export async function createServer(options: CreateServerOptions): Promise<TemporaryServer> {
  const password = randomBytes(12).toString('hex');
  const dataFolder = join(options.folder, 'data');
  await makeCluster({
    binaries: options.binaries,
    user: options.user,
    dataFolder,
    password,
    settings: options.settings ?? {},
    hbaLines: options.hbaLines ?? [],
    initdb: options.initdb ?? {},
  });
  return await openServer({ ...options, dataFolder, password });
}

/** Takes over an existing cluster, such as a restored one. It is not started yet, and its files are left as they are. */
export async function adoptServer(options: AdoptServerOptions): Promise<TemporaryServer> {
  await giveToUser(options.dataFolder, options.user);
  return await openServer(options);
}

async function openServer(options: AdoptServerOptions): Promise<TemporaryServer> {
  const path = join(options.folder, 'socket');
  if (Buffer.byteLength(path) <= SOCKET_FOLDER_BYTES_MAX) {
    await makeOwnedFolder(path, options.user);
    const remove = async (): Promise<void> => await removeFolder(path);
    return new TemporaryServer(options, { path, remove });
  }
  const short = await makeScratchFolder(options.user, { parent: '/tmp' });
  await giveToUser(short.path, options.user);
  return new TemporaryServer(options, short);
}

/** A PostgreSQL server that lives at most as long as this process. */
export class TemporaryServer {
  readonly binaries: PostgresqlBinaries;
  readonly user: SystemUser;
  readonly dataFolder: string;
  /** Mode 700: only the server's user and root connect without a password. */
  readonly socketFolder: string;
  readonly logPath: string;
  readonly #options: AdoptServerOptions;
  readonly #removeSocketFolder: () => Promise<void>;
  #port: number | undefined;
  #process: ServerProcess | undefined;

  constructor(options: AdoptServerOptions, socket: Pick<ScratchFolder, 'path' | 'remove'>) {
    this.#options = options;
    this.binaries = options.binaries;
    this.user = options.user;
    this.dataFolder = options.dataFolder;
    this.socketFolder = socket.path;
    this.#removeSocketFolder = socket.remove;
    this.logPath = join(options.folder, 'server.log');
  }

  /** The TCP port, once the server has been started with one. */
  get port(): number | undefined {
    return this.#port;
  }

  /** The port in the socket's name; libpq wants it beside the socket's folder. */
  get socketPort(): number {
    return this.#port ?? SOCKET_PORT;
  }

  get isRunning(): boolean {
    return this.#process?.isRunning === true;
  }

  get pid(): number | undefined {
    return this.isRunning ? this.#process?.pid : undefined;
  }

  /** A libpq URL of this server. */
  connectionString(options: ConnectionStringOptions = {}): string {
    const { database = 'postgres', user = 'postgres', over = 'socket' } = options;
    const query = new URLSearchParams(options.parameters);
    const password = options.password ?? (user === 'postgres' ? this.#options.password : undefined);
    if (over === 'tcp') {
      const port = must(this.#port, 'the server was started with a TCP port');
      const secret = password === undefined ? '' : `:${encodeURIComponent(password)}`;
      const rest = query.size === 0 ? '' : `?${query.toString()}`;
      return `postgresql://${encodeURIComponent(user)}${secret}@127.0.0.1:${port}/${encodeURIComponent(database)}${rest}`;
    }
    query.set('host', this.socketFolder);
    query.set('port', String(this.socketPort));
    return `postgresql://${encodeURIComponent(user)}@/${encodeURIComponent(database)}?${query.toString()}`;
  }

  /**
   * Starts the server and waits until it accepts connections (as a standby, until it is up). A server that ends before
   * throws `postgresql` with `exitCode` among the details, and the tail of its log.
   */
  async start(options: WaitOptions = {}): Promise<void> {
    if (this.isRunning) return;
    for (let attempt = 1; ; attempt += 1) {
      await this.#launch();
      const logBytes = Buffer.byteLength(await this.readLog());
      try {
        return await this.#waitUntilReady(options);
      } catch (error) {
        const fresh = Buffer.from(await this.readLog())
          .subarray(logBytes)
          .toString();
        const taken = !this.isRunning && fresh.includes('Address already in use');
        if (!taken || this.#options.port !== 'free' || attempt === PORT_ATTEMPTS) {
          throw error;
        }
        this.#port = undefined;
      }
    }
  }

  /** Stops the server and waits for its end; a stopped server stays so. Throws `timeout` and leaves it to its shutdown. */
  async stop(mode: StopMode = 'fast', options: WaitOptions = {}): Promise<void> {
    const running = this.#process;
    if (running === undefined || !this.isRunning) return;
    running.signal(STOP_SIGNALS[mode]);
    await this.waitForExit({ timeoutMs: STOP_TIMEOUT_MS, ...options });
  }

  /** Ends all processes of the server with SIGKILL, as a crash would; the next start recovers. */
  async kill(): Promise<void> {
    if (!this.isRunning) return;
    await this.#process?.kill();
    await this.waitForExit();
  }

  async restart(mode: StopMode = 'fast'): Promise<void> {
    await this.stop(mode);
    await this.start();
  }

  /** Makes the server read its configuration files again. */
  reload(): void {
    this.#process?.signal('SIGHUP');
  }

  /** Ends recovery and waits until the server is a primary. */
  async promote(): Promise<void> {
    await runProgram(
      join(this.binaries.binFolder, 'pg_ctl'),
      ['promote', '-w', '-D', this.dataFolder],
      { user: this.user, folder: this.dataFolder, timeoutMs: PROGRAM_TIMEOUT_MS },
    );
  }

  /** Waits for the server to end by itself, as after `recovery_target_action = shutdown` (exit code 3). */
  async waitForExit(options: WaitOptions = {}): Promise<ServerExit> {
    const { timeoutMs = STOP_TIMEOUT_MS, signal } = options;
    const running = must(this.#process, 'the server was started');
    const end = Date.now() + timeoutMs;
    while (running.isRunning) {
      if (Date.now() > end)
        throw await this.#failure('timeout', `did not end within ${timeoutMs} ms`);
      await sleep(POLL_MS, signal);
    }
    return await running.exited;
  }

  async readLog(): Promise<string> {
    return await readFile(this.logPath, 'utf8').catch(() => '');
  }

  async logTail(lines?: number): Promise<string> {
    return tail(await this.readLog(), lines);
  }

  /** Stops the server by any means and removes its socket; the folder is the caller's. */
  async dispose(): Promise<void> {
    await this.stop('immediate', { timeoutMs: 5000 }).catch(() => {});
    await this.kill();
    await this.#removeSocketFolder();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #launch(): Promise<void> {
    const { port, overrides = {} } = this.#options;
    this.#port ??= port === 'free' ? await findFreePort() : port;
    const settings: Settings = {
      listen_addresses: this.#port === undefined ? '' : '127.0.0.1',
      port: this.socketPort,
      unix_socket_directories: this.socketFolder,
      ...overrides,
    };
    const logDescriptor = openSync(this.logPath, 'a', 0o644);
    try {
      this.#process = await ServerProcess.spawn({
        program: join(this.binaries.binFolder, 'postgres'),
        args: ['-D', this.dataFolder, ...settingArguments(settings)],
        user: this.user,
        folder: this.dataFolder,
        env: this.#options.env ?? {},
        logDescriptor,
      });
    } finally {
      closeSync(logDescriptor);
    }
  }

  async #waitUntilReady({ timeoutMs = START_TIMEOUT_MS, signal }: WaitOptions): Promise<void> {
    const running = must(this.#process, 'the server was launched');
    const end = Date.now() + timeoutMs;
    while (!(await this.#isReady(running.pid))) {
      if (!running.isRunning) {
        const exit = await running.exited;
        throw await this.#failure(
          'postgresql',
          `it ended with ${exit.signal ?? exit.exitCode}`,
          exit,
        );
      }
      if (Date.now() > end) {
        throw await this.#failure('timeout', `not ready after ${timeoutMs} ms`);
      }
      await sleep(POLL_MS, signal);
    }
  }

  /** Line 8 of postmaster.pid is the state (src/include/utils/pidfile.h); pg_ctl waits for the same words. */
  async #isReady(pid: number): Promise<boolean> {
    const path = join(this.dataFolder, 'postmaster.pid');
    const lines = (await readFile(path, 'utf8').catch(() => '')).split('\n');
    return Number(lines[0]) === pid && /^(ready|standby)\s*$/.test(lines[7] ?? '');
  }

  async #failure(
    code: 'postgresql' | 'timeout',
    reason: string,
    exit?: ServerExit,
  ): Promise<WalnutError> {
    const log = await this.logTail();
    return new WalnutError(
      code,
      `run PostgreSQL ${this.binaries.version} on ${this.dataFolder}: ${reason}\n${log}`,
      { details: { ...exit, logTail: log } },
    );
  }
}

async function findFreePort(): Promise<number> {
  return await new Promise((fulfil, reject) => {
    const probe = createTcpServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => fulfil(port));
    });
  });
}
