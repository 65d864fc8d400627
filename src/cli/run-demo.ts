import type { DemoDocument } from '../api/contract.ts';
import { runDemo, type DemoResult } from '../demo/demo.ts';
import { ERROR_CODES } from '../lib/walnut-error.ts';
import { backupDocument } from './backup-document.ts';
import type { CommandResult } from './command.ts';
import type { CommandContext } from './context.ts';
import { productVersion } from './product-version.ts';
import { renderBytes, renderDuration } from './render/units.ts';
import { restoreDocumentOf } from './restore-documents.ts';

export type DemoValues = { readonly keep: boolean; readonly folder: string | undefined };

export async function runDemoCommand(
  values: DemoValues,
  context: CommandContext,
): Promise<CommandResult> {
  const { output } = context;
  const startedMs = performance.now();
  let chapter = 0;
  const story = {
    chapter: (title: string): void => {
      chapter += 1;
      output.note(`\n${chapter}. ${title}`);
    },
    tell: (sentence: string): void => output.note(`   ${sentence}`),
  };
  const result = await runDemo(
    {
      parentFolder: values.folder ?? null,
      keep: values.keep,
      walnutVersion: productVersion(context.packageRoot),
      renderBytes,
      renderDuration,
    },
    story,
    context.signal,
  );
  return {
    document: documentOf(result),
    text: renderResult(result, performance.now() - startedMs),
    exitCode: result.passed ? 0 : ERROR_CODES['check-failed'],
  };
}

function documentOf(result: DemoResult): DemoDocument {
  return {
    passed: result.passed,
    postgresVersion: result.postgresVersion,
    backup: backupDocument(result.backup),
    restore: restoreDocumentOf(result.restore),
    rowsBefore: result.before.rows,
    rowsAfter: result.after.rows,
    checksumBefore: result.before.checksum,
    checksumAfter: result.after.checksum,
    lostTransactions: result.lostTransactions,
  };
}

function renderResult(result: DemoResult, durationMs: number): string {
  const verdict = result.passed
    ? `\nThe table is back, row for row, and no acknowledged transaction before the mistake is lost. (${renderDuration(durationMs)})`
    : `\nThe demo FAILED: the restored table is not what it was; ${result.lostTransactions} transactions are lost.`;
  if (result.folder === null) {
    return `${verdict}\nEverything the demo made has been removed. To protect a server of yours: walnut init`;
  }
  return `${verdict}\nLeft for playing: ${result.folder} (shop/data, restored, repository). Remove it when you are done.`;
}
