/** Positions in a JSON text, so that an error can be shown at its line. Pure. */

export interface JsonPositions {
  /**
   * Offset of each value by its path as the server writes it: `rules[1].paths[0]`. Empty is the
   * root.
   */
  values: ReadonlyMap<string, number>;
  /** Offset of the first unexpected character. Null if the text is valid. */
  errorAt: number | null;
}

const MAX_DEPTH = 64; // a policy has six levels
const SPACE = /[ \t\n\r]*/y;
const STRING = /"(?:[^"\\\p{Cc}]|[\u007f-\u009f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/uy; // no ASCII control characters
const LITERAL = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

/** Parse a text up to the first error (RFC 8259). */
export function jsonPositions(text: string): JsonPositions {
  const scan = new Scanner(text);
  const good = scan.value("", 0) && scan.atEnd();
  return { values: scan.values, errorAt: good ? null : scan.at };
}

/** The line of an offset, starting at 1. */
export function lineAtOffset(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}

/** The line of a field, or of its nearest existing parent. */
export function lineOfField(text: string, field: string): number {
  const { values } = jsonPositions(text);
  let name = field;
  while (name && !values.has(name)) name = name.replace(/(\.[^.[\]]*|\[\d+\]|^[^.[\]]+)$/, "");
  return lineAtOffset(text, values.get(name) ?? 0);
}

class Scanner {
  readonly values = new Map<string, number>();
  at = 0;

  constructor(readonly text: string) {
    this.#skipSpace();
  }

  atEnd(): boolean {
    return this.at === this.text.length;
  }

  /** Parse one value and the whitespace after it. False at an error; `at` is its offset. */
  value(name: string, depth: number): boolean {
    if (depth > MAX_DEPTH) return false;
    this.values.set(name, this.at);
    const first = this.text[this.at];
    if (first === "{") return this.#members(name, depth);
    if (first === "[") return this.#items(name, depth);
    return this.#match(first === '"' ? STRING : LITERAL) !== null && this.#skipSpace();
  }

  #members(name: string, depth: number): boolean {
    return this.#delimited("{", "}", () => {
      const key = this.#match(STRING);
      if (key === null || !this.#skipSpace() || !this.#consume(":")) return false;
      const plain = JSON.parse(key) as string;
      return this.value(name ? `${name}.${plain}` : plain, depth + 1);
    });
  }

  #items(name: string, depth: number): boolean {
    let index = 0;
    return this.#delimited("[", "]", () => this.value(`${name}[${index++}]`, depth + 1));
  }

  #delimited(open: string, close: string, one: () => boolean): boolean {
    this.#consume(open);
    if (this.#consume(close)) return true;
    do if (!one()) return false;
    while (this.#consume(","));
    return this.#consume(close);
  }

  #consume(mark: string): boolean {
    if (this.text[this.at] !== mark) return false;
    this.at++;
    return this.#skipSpace();
  }

  #match(shape: RegExp): string | null {
    shape.lastIndex = this.at;
    const result = shape.exec(this.text);
    if (!result?.[0]) return null;
    this.at += result[0].length;
    return result[0];
  }

  #skipSpace(): boolean {
    this.#match(SPACE);
    return true;
  }
}
