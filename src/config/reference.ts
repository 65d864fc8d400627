import {
  DAEMON_OPTIONS,
  environmentName,
  REPOSITORY_OPTIONS,
  SERVER_OPTIONS,
  type OptionDeclaration,
} from './options.ts';

type AnyTable = Readonly<Record<string, OptionDeclaration<unknown>>>;

const INTRODUCTION = `# Configuration

<!-- Written by scripts/write-reference.ts from src/config/options.ts: change it there. -->

Walnut reads one TOML file: the one of \`--config\`, else of \`$WALNUT_CONFIG\`, else \`./walnut.toml\`, else
\`/etc/walnut/walnut.toml\`. Every key can also be given by an environment variable, which wins over the file; servers and
repositories may be defined by variables alone. In a variable's name, hyphens and dots of names and keys are underscores.

An unknown key, a value that is not valid, or a \`WALNUT_SERVER_…\` or \`WALNUT_REPOSITORY_…\` variable that means nothing
is an error that names file, line and column, and the nearest known key. What is not built yet (encryption, stores other
than folders) is refused. Keys marked *not acted on yet* are checked, and named by \`walnut check\`.

Durations: \`ms\`, \`s\`, \`min\`, \`h\`, \`days\`, \`weeks\`, such as \`"14 days"\` or \`"1 h 30 min"\`. Sizes: \`B\`, \`kB\`, \`MB\`, \`GB\`,
\`TB\` (decimal), \`KiB\` … \`TiB\` (binary). Rates: a size per second, such as \`"50MB/s"\`. Paths in the file are relative to
the file's folder, those in the environment to the working directory. Names of servers and repositories match
\`[a-z0-9][a-z0-9_-]{0,62}\`; no server is called \`keys\` or \`tmp\`.

Passwords: leave them out of \`connection\`. They come from \`password_file\`, \`password_command\`, the variable
\`WALNUT_SERVER_NAME_PASSWORD\`, or libpq's own ways (\`PGPASSWORD\`, password file, service file). They are never printed.
`;

/** `docs/reference/configuration.md`. */
export function renderConfigurationReference(): string {
  return [
    INTRODUCTION,
    renderSection('[repository.NAME]', REPOSITORY_OPTIONS, 'repository'),
    renderSection('[server.NAME]', SERVER_OPTIONS, 'server'),
    renderSection('[daemon]', DAEMON_OPTIONS, null),
  ].join('\n');
}

function renderSection(
  title: string,
  table: AnyTable,
  kind: 'server' | 'repository' | null,
): string {
  const keys = Object.entries(table).map(([key, declaration]) => {
    const variable =
      kind === null ? '' : `\n  Environment: \`${environmentName(kind, 'NAME', key)}\`.`;
    const first = `- **\`${key}\`**: ${declaration.value}. ${facts(declaration)}`.trimEnd();
    return `${first}\n  ${declaration.help}${variable}\n`;
  });
  return `## \`${title}\`\n\n${keys.join('\n')}`;
}

function facts(declaration: OptionDeclaration<unknown>): string {
  const { required = false, defaultText, environmentOnly, inactive } = declaration;
  const parts: string[] = [];
  if (required) parts.push('Required.');
  if (declaration.default !== null) {
    parts.push(`Default: \`${JSON.stringify(declaration.default)}\`.`);
  }
  if (defaultText !== undefined) parts.push(`Default: ${defaultText}.`);
  if (environmentOnly !== undefined) parts.push('Environment only.');
  if (inactive !== undefined) parts.push(`*Not acted on yet: ${inactive}.*`);
  return parts.join(' ');
}
