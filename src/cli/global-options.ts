export type GlobalOption = {
  readonly flag: string;
  readonly short: string | null;
  readonly label: string | null;
  readonly help: string;
};

/** Options that every command takes, before or behind its name. */
export const GLOBAL_OPTIONS = {
  config: {
    flag: '--config',
    short: null,
    label: 'FILE',
    help: 'the configuration (default: $WALNUT_CONFIG, ./walnut.toml, /etc/walnut/walnut.toml)',
  },
  json: {
    flag: '--json',
    short: null,
    label: null,
    help: 'print one JSON document, or one JSON line per event',
  },
  help: { flag: '--help', short: '-h', label: null, help: 'print this help' },
  version: { flag: '--version', short: '-V', label: null, help: 'print the version' },
} as const satisfies Readonly<Record<string, GlobalOption>>;

/** As help and parser write it: `-h, --help`, `--config <FILE>`. */
export function flagText({ flag, short, label }: GlobalOption): string {
  const long = label === null ? flag : `${flag} <${label}>`;
  return short === null ? long : `${short}, ${long}`;
}
