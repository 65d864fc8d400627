/** Keeps the documents honest: what they link to exists, and nothing in them belongs to one machine. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FENCE = /^(```|~~~)[\s\S]*?^\1/gm;
const LINK = /!?\[[^\]]*\]\(([^)\s]+)\)/g;
const HEADING = /^#{1,6} +(.+?) *#*$/gm;
/** In comments: `docs/name.md`, or `docs/name.md, "Section"`. */
const MENTION = /\bdocs\/[\w./-]+\.md\b(?:, "([^"]+)")?/g;
/** Folders that exist on one machine only; `/var/lib`, `/etc` and `/srv` are what readers have too. */
const MACHINE_PATH = /(?<![\w.:/-])\/(?:work|root|home|Users)\/[\w.-]+/g;

const filesBelow = (folder: string, extension: string): string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith(extension))
    .map((path) => join(folder, path));

const documents = [
  ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
  ...filesBelow('docs', '.md'),
].toSorted();

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const proseOf = (path: string): string => read(path).replaceAll(FENCE, '');

/** The names under which a page's headings can be linked to, as GitHub makes them. */
function anchorsOf(text: string): Set<string> {
  const seen = new Map<string, number>();
  const anchors = [...text.replaceAll(FENCE, '').matchAll(HEADING)].map(([, heading = '']) => {
    const anchor = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(/\s/g, '-');
    const times = seen.get(anchor) ?? 0;
    seen.set(anchor, times + 1);
    return times === 0 ? anchor : `${anchor}-${times}`;
  });
  return new Set(anchors);
}

/** What is wrong with one link of a page, or null. */
function problemOf(page: string, link: string): string | null {
  if (/^(?:https?|mailto):/.test(link)) return null;
  const [path = '', anchor] = link.split('#');
  const target = path === '' ? join(ROOT, page) : resolve(ROOT, dirname(page), decodeURI(path));
  if (relative(ROOT, target).startsWith('..')) return 'leaves the repository';
  if (!existsSync(target)) return 'names no file';
  if (anchor === undefined) return null;
  if (!statSync(target).isFile()) return 'has an anchor in a folder';
  return anchorsOf(readFileSync(target, 'utf8')).has(anchor) ? null : 'names no heading';
}

function brokenLinks(page: string): string[] {
  return [...proseOf(page).matchAll(LINK)].flatMap(([, link = '']) => {
    const problem = problemOf(page, link);
    return problem === null ? [] : [`${link} ${problem}`];
  });
}

function brokenMentions(file: string): string[] {
  return [...read(file).matchAll(MENTION)].flatMap(([mention, section]) => {
    const path = mention.replace(/,.*$/, '');
    if (!existsSync(join(ROOT, path))) return [`${file}: ${path} does not exist`];
    if (section === undefined) return [];
    const headings = [...read(path).matchAll(HEADING)].map(([, heading]) => heading);
    return headings.includes(section) ? [] : [`${file}: ${path} has no section "${section}"`];
  });
}

describe('the documents', () => {
  test.each(documents)('%s links only to files and headings that exist', (page) => {
    expect(brokenLinks(page)).toEqual([]);
  });

  test.each(documents)('%s names no folder of one machine', (page) => {
    expect(read(page).match(MACHINE_PATH) ?? []).toEqual([]);
  });

  test('what comments in the source say about documents is true', () => {
    const files = [...filesBelow('src', '.ts'), ...filesBelow('bench', '.ts')];
    expect(files.flatMap((file) => brokenMentions(file))).toEqual([]);
  });

  test('every decision is listed, and every listed one is there', () => {
    const folder = 'docs/decisions';
    const records = readdirSync(join(ROOT, folder)).filter((name) => name !== 'README.md');
    const listed = [...read(`${folder}/README.md`).matchAll(LINK)].map(([, link]) => link);
    expect(listed.toSorted()).toEqual(records.toSorted());
  });
});
