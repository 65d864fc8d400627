import type { CheckDocument, CheckFinding } from '../../api/contract.ts';
import { renderFields } from './table.ts';

export function renderCheck({ servers }: CheckDocument): string {
  return servers.map(({ server, checks }) => renderServer(server, checks)).join('\n\n');
}

function renderServer(server: string, checks: readonly CheckFinding[]): string {
  const failed = checks.filter(({ passed }) => !passed);
  const verdict =
    failed.length === 0
      ? `${server}: ${checks.length} checks passed`
      : `${server}: ${failed.length} of ${checks.length} checks FAILED`;
  const lines = renderFields(
    checks.map(({ name, passed, detail }) => [`  ${passed ? 'ok  ' : 'FAIL'}  ${name}`, detail]),
  );
  const fixes = failed.flatMap(({ name, fix }) => (fix === null ? [] : [renderFix(name, fix)]));
  return [`${verdict}\n${lines}`, ...fixes].join('\n\n');
}

/** Statements and lines stand alone, so that they can be copied. */
function renderFix(name: string, fix: string): string {
  return [`To fix ${name}:`, ...fix.split('\n').map((line) => `  ${line}`)].join('\n');
}
