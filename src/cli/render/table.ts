export type Column = { readonly title: string; readonly align?: 'left' | 'right' };

const GAP = '  ';

/** A table of text with aligned columns; the last cell of a line is not padded. Cells hold no line ends. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string {
  const lines = [columns.map(({ title }) => title), ...rows];
  const widths = columns.map((_, index) =>
    Math.max(...lines.map((line) => widthOf(line[index] ?? ''))),
  );
  return lines
    .map((line) =>
      columns
        .map(({ align = 'left' }, index) => pad(line[index] ?? '', widths[index] ?? 0, align))
        .join(GAP)
        .trimEnd(),
    )
    .join('\n');
}

/** `name: value` lines with the values under one another. */
export function renderFields(fields: readonly (readonly [string, string])[]): string {
  const width = Math.max(0, ...fields.map(([name]) => widthOf(name)));
  return fields.map(([name, value]) => `${pad(name, width, 'left')}${GAP}${value}`).join('\n');
}

function pad(text: string, width: number, align: 'left' | 'right'): string {
  const blanks = ' '.repeat(Math.max(0, width - widthOf(text)));
  return align === 'left' ? text + blanks : blanks + text;
}

/** Characters as a person counts them: an accent that stands apart from its letter takes no column. */
function widthOf(text: string): number {
  return text.replaceAll(/\p{Mn}/gu, '').length;
}
