/**
 * The URL of a worker module that stands beside the importing module, `.ts` when running from source and `.js` from
 * `dist/`, where all modules lie in one folder (scripts/build.ts).
 */
export function workerUrl(name: string, importerUrl: string): URL {
  const extension = importerUrl.endsWith('.ts') ? '.ts' : '.js';
  return new URL(`./${name}${extension}`, importerUrl);
}
