import { accessSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import { messageOf, WalnutError } from '../lib/walnut-error.ts';
import { findPositions, positionKey, type Positions } from './toml-positions.ts';

export type ConfigurationFile = {
  readonly path: string;
  readonly values: Readonly<Record<string, unknown>>;
  readonly positions: Positions;
};

/** Where a value was written. */
export type Origin =
  | { readonly kind: 'file'; readonly file: ConfigurationFile; readonly path: readonly string[] }
  | { readonly kind: 'environment'; readonly variable: string };

export type Surroundings = {
  readonly configPath: string | undefined;
  readonly environment: NodeJS.ProcessEnv;
  readonly workingDirectory: string;
};

const SYSTEM_CONFIGURATION = '/etc/walnut/walnut.toml';

/** The file to read: as asked for, or the first that exists; null when there is none. */
export function findConfigurationPath(surroundings: Surroundings): string | null {
  const { configPath, environment, workingDirectory } = surroundings;
  const asked = configPath ?? environment['WALNUT_CONFIG'];
  if (asked !== undefined && asked !== '') return resolve(workingDirectory, asked);
  const candidates = [join(workingDirectory, 'walnut.toml'), SYSTEM_CONFIGURATION];
  return candidates.find(exists) ?? null;
}

export function readConfigurationFile(path: string): ConfigurationFile {
  const text = readText(path);
  try {
    return { path, values: parse(text), positions: findPositions(text) };
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // The parser's message ends with the source line, which may hold a password: only its first line is told.
    const [reason = ''] = error.message.split('\n');
    throw new WalnutError(
      'config',
      `read configuration ${path}, line ${error.line}, column ${error.column}: ${reason.replace(/^Invalid TOML document: /, '')}`,
      {
        hint: 'The file must be TOML 1.0: https://toml.io',
        details: { file: path, line: error.line, column: error.column },
      },
    );
  }
}

/** The error for a key or value, naming where it stands. */
export function configurationError(origin: Origin, message: string, hint?: string): WalnutError {
  if (origin.kind === 'environment') {
    const text = `read environment variable ${origin.variable}: ${message}`;
    return new WalnutError('config', text, { hint, details: { variable: origin.variable } });
  }
  const { file, path } = origin;
  const position = file.positions.get(positionKey(path));
  const place = position === undefined ? '' : `, line ${position.line}, column ${position.column}`;
  return new WalnutError('config', `read configuration ${file.path}${place}: ${message}`, {
    hint,
    details: { file: file.path, key: path.join('.'), ...position },
  });
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new WalnutError('config', `read configuration ${path}: ${messageOf(error)}`, {
      hint: 'Name another file with --config or $WALNUT_CONFIG, or let walnut init write one.',
      cause: error,
    });
  }
}

function exists(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch (error) {
    // A file that is there but closed to us must be an error, not a reason to read another one.
    return (error as NodeJS.ErrnoException).code === 'EACCES';
  }
}
