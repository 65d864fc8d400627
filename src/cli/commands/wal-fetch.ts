import type { WalFetchDocument } from '../../api/wal-contract.ts';
import { WalnutError } from '../../lib/walnut-error.ts';
import type { TimelineId } from '../../postgres/timeline-id.ts';
import { argument, defineCommand, option, type Command } from '../command.ts';
import { withRepository } from '../repository-access.ts';
import {
  parseIncarnation,
  parseSegment,
  parseTimelineChoice,
  type TimelineChoice,
} from '../values.ts';

export const walFetchCommand: Command = defineCommand({
  name: 'wal fetch',
  summary: 'bring one WAL file back: what restore_command runs',
  description:
    'Exits 0 with the checked file at DEST, and 44 when the file lies beyond the end of what is stored or planned. A ' +
    'missing file before that is a hole and an error. PostgreSQL takes every exit code from 1 to 125 for the end of ' +
    'WAL, so restore_command runs bin/walnut-restore-command, which answers 0, 1 for 44, and 126 (or 143) for all else.',
  arguments: {
    server: argument({ label: 'SERVER', help: 'the server' }),
    name: argument({ label: 'NAME', help: 'the segment or history file; %f' }),
    destination: argument({ label: 'DEST', help: 'where to put it; %p' }),
  },
  options: {
    incarnation: option({
      label: 'ID',
      help: 'WAL of this cluster only: system identifier and major version',
      parse: parseIncarnation,
    }),
    lastSegment: option({
      label: 'SEGMENT',
      help: "the last segment of the restore's plan: what follows it is not needed",
      parse: parseSegment,
    }),
    lastTimeline: option({
      label: 'N',
      help: "the last timeline of the restore's plan: a later history file may be missing",
      parse: parseTimelineChoice,
    }),
  },
  examples: [
    {
      command: 'walnut wal fetch shop 000000010000000000000005 /tmp/segment',
      does: 'look at a segment by hand',
    },
  ],
  exitCodes: [0, 1, 2, 44, 130],
  run: async ({ server: serverName, name, destination, ...values }, context) => {
    const { fetchWalFile } = await import('../../archive/fetch.ts');
    const server = await context.resolveServer(serverName);
    const outcome = await withRepository(server.repository, async (store) =>
      fetchWalFile({
        store,
        server: server.name,
        name,
        destination,
        incarnation: values.incarnation,
        plan: { lastSegment: values.lastSegment, timeline: plannedTimeline(values.lastTimeline) },
        spoolFolder: server.spoolDirectory,
      }),
    );
    for (const { reason } of outcome.damaged) context.output.note(`passed over: ${reason}`);
    const { source, bytes } = outcome;
    const document: WalFetchDocument = { server: server.name, name, destination, source, bytes };
    return { document };
  },
});

function plannedTimeline(choice: TimelineChoice | undefined): TimelineId | undefined {
  if (choice !== 'latest' && choice !== 'current') return choice;
  throw new WalnutError('usage', `use --last-timeline ${choice}: a plan names its timeline`);
}
