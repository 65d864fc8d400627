export type TemplateValues = {
  readonly repository: { readonly name: string; readonly url: string };
  readonly server: {
    readonly name: string;
    readonly connection: string;
    readonly passwordFile: string | null;
    readonly dataDirectory: string | null;
    readonly wal: 'stream' | 'archive' | 'both';
    readonly spoolDirectory: string | null;
  };
};

/** The `walnut.toml` that `init` writes: what was chosen, and what one may want to change next, as comments. */
export function renderConfigurationFile({ repository, server }: TemplateValues): string {
  const { name, connection, passwordFile, dataDirectory, wal, spoolDirectory } = server;
  return `# Walnut's configuration; every key: docs/reference/configuration.md
# Test it with: walnut check

[repository.${repository.name}]
url = ${quote(repository.url)}

[server.${name}]
# In libpq's words. Keep passwords out of this file: use password_file, password_command or ~/.pgpass.
connection = ${quote(connection)}
${line('password_file', passwordFile, '/etc/walnut/password')}
# Only where Walnut runs on the database host: backups then read the files directly.
${line('data_directory', dataDirectory, '/var/lib/postgresql/18/main')}
repository = ${quote(repository.name)}
# stream: through a replication slot. archive: by archive_command. both: each checks the other.
wal = ${quote(wal)}
# What the receiver has but the repository has not yet; a local disk when the repository is not.
${line('spool_directory', spoolDirectory, '/var/lib/walnut-spool')}
`;
}

function line(key: string, value: string | null, example: string): string {
  return value === null ? `# ${key} = ${quote(example)}` : `${key} = ${quote(value)}`;
}

/** A TOML basic string: JSON's escapes are among TOML's, which also wants DEL escaped. */
function quote(text: string): string {
  return JSON.stringify(text).replaceAll('\u007F', String.raw`\u007F`);
}
