/**
 * Where each key of a TOML document stands. The parser reports positions of syntax errors only; this walker finds those
 * of keys, and so of wrong values. It is given documents that the parser accepted, hence the little checking.
 */

type Position = { readonly line: number; readonly column: number };

/** Positions by the key's full path, its parts joined by a null character ({@link positionKey}). */
export type Positions = ReadonlyMap<string, Position>;

export function positionKey(path: readonly string[]): string {
  return path.join('\0');
}

export function findPositions(text: string): Positions {
  return new Walker(text).walk();
}

class Walker {
  readonly #text: string;
  readonly #positions = new Map<string, Position>();
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  walk(): Positions {
    let table: string[] = [];
    for (this.#skipBlank(); this.#at < this.#text.length; this.#skipBlank()) {
      if (this.#peek() === '[') table = this.#header();
      else this.#assignment(table);
    }
    return this.#positions;
  }

  #header(): string[] {
    while (this.#peek() === '[') this.#at += 1;
    const path = this.#key([]);
    while (this.#peek() === ']') this.#at += 1;
    return path;
  }

  #assignment(table: readonly string[]): void {
    const path = this.#key(table);
    this.#at += 1;
    this.#value(path);
  }

  /** Reads a dotted key and records every part; leaves the position behind it and the blanks that follow. */
  #key(parent: readonly string[]): string[] {
    const path = [...parent];
    for (;;) {
      this.#skipBlank();
      const start = this.#at;
      path.push(this.#keyPart());
      const known = positionKey(path);
      if (!this.#positions.has(known)) this.#positions.set(known, this.#positionOf(start));
      this.#skipBlank();
      if (this.#peek() !== '.') return path;
      this.#at += 1;
    }
  }

  #keyPart(): string {
    const quote = this.#peek();
    if (quote === '"' || quote === "'") return this.#string();
    const [part = ''] = this.#match(/[A-Za-z0-9_-]*/y);
    // Never stand still, whatever the document holds.
    this.#at += Math.max(1, part.length);
    return part;
  }

  /** Skips a value, recording the keys inside it. */
  #value(path: readonly string[]): void {
    this.#skipBlank();
    const first = this.#peek();
    if (first === '"' || first === "'") this.#string();
    else if (first === '[') this.#list(']', () => this.#value(path));
    else if (first === '{') this.#list('}', () => this.#assignment(path));
    else this.#at += Math.max(1, this.#match(/[^,\]}\n#]*/y)[0]?.length ?? 0);
  }

  #list(end: string, item: () => void): void {
    this.#at += 1;
    for (this.#skipBlank(); this.#at < this.#text.length; this.#skipBlank()) {
      const next = this.#peek();
      if (next === end) break;
      if (next === ',') this.#at += 1;
      else item();
    }
    this.#at += 1;
  }

  /** Reads a string of any of the four kinds; escapes matter only in keys, where JSON's are enough. */
  #string(): string {
    const matched =
      this.#match(/"""(?:\\[^]|[^\\])*?"""+/y)[0] ??
      this.#match(/'''[^]*?'''+/y)[0] ??
      this.#match(/"(?:\\.|[^"\\])*"/y)[0] ??
      this.#match(/'[^']*'/y)[0] ??
      this.#peek();
    this.#at += Math.max(1, matched.length);
    const inner = matched.slice(1, -1);
    if (!matched.startsWith('"') || !inner.includes('\\')) return inner;
    try {
      return String(JSON.parse(matched));
    } catch {
      return inner;
    }
  }

  #skipBlank(): void {
    this.#at += this.#match(/(?:\s|#[^\n]*)*/y)[0]?.length ?? 0;
  }

  #peek(): string {
    return this.#text[this.#at] ?? '';
  }

  #match(sticky: RegExp): RegExpExecArray | [] {
    sticky.lastIndex = this.#at;
    return sticky.exec(this.#text) ?? [];
  }

  #positionOf(offset: number): Position {
    const before = this.#text.slice(0, offset);
    const lineStart = before.lastIndexOf('\n') + 1;
    return { line: before.split('\n').length, column: offset - lineStart + 1 };
  }
}
