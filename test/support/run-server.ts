/**
 * A program of its own that starts a temporary server, for tests of what happens to the server when its program ends.
 * Arguments: major version, and `wait` (until a signal), `exit` or `finish` (in order). Prints one line of JSON.
 */
import { userInfo } from 'node:os';
import { findPostgresqlBinaries } from '../../src/sandbox/postgresql-binaries.ts';
import { makeScratchFolder } from '../../src/sandbox/scratch-folder.ts';
import { stageBinaries } from '../../src/sandbox/staged-binaries.ts';
import { createServer } from '../../src/sandbox/temporary-server.ts';
import { unprivilegedUser } from '../../src/sandbox/unprivileged-user.ts';
import { toMajorVersion } from '../../src/postgres/version.ts';

const [, , major, ending] = process.argv;
const user = await unprivilegedUser();
const scratch = await makeScratchFolder(user, { prefix: 'walnut-test-' });
const binaries = await stageBinaries(await findPostgresqlBinaries(toMajorVersion(Number(major))), {
  user,
  cacheFolder: scratch.path,
});
const server = await createServer({ binaries, user, folder: scratch.path });
await server.start();
const facts = { pid: server.pid, folder: scratch.path, uid: userInfo().uid, serverUid: user.uid };
process.stdout.write(`${JSON.stringify(facts)}\n`);
if (ending === 'wait') setInterval(() => {}, 60_000);
if (ending === 'exit') process.exit(0);
if (ending === 'finish') {
  await server.dispose();
  await scratch.remove();
}
