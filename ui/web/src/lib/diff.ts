/** A line diff of two texts. Pure. */

export interface DiffLine {
  kind: "same" | "gone" | "new";
  text: string;
}

const MAX_LINES = 2000; // lines on each side; a policy has at most 64 KiB

/**
 * The lines of both texts in order, by longest common subsequence.
 *
 * Texts longer than `MAX_LINES` are shown as fully replaced.
 */
export function diff(before: string, after: string): DiffLine[] {
  const [a, b] = [splitLines(before), splitLines(after)];
  if (Math.max(a.length, b.length) > MAX_LINES)
    return [...toLines("gone", a), ...toLines("new", b)];
  const common = commonLengths(a, b);
  const result: DiffLine[] = [];
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      result.push({ kind: "same", text: a[i] ?? "" });
      i++;
      j++;
    } else if (cell(common, i + 1, j) >= cell(common, i, j + 1)) {
      result.push({ kind: "gone", text: a[i++] ?? "" });
    } else {
      result.push({ kind: "new", text: b[j++] ?? "" });
    }
  }
  return [...result, ...toLines("gone", a.slice(i)), ...toLines("new", b.slice(j))];
}

/** `common[i][j]` is the number of common lines after i and j. */
function commonLengths(a: readonly string[], b: readonly string[]): Uint16Array[] {
  const table = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    const row = table[i];
    for (let j = b.length - 1; row && j >= 0; j--) {
      row[j] =
        a[i] === b[j]
          ? cell(table, i + 1, j + 1) + 1
          : Math.max(cell(table, i + 1, j), cell(table, i, j + 1));
    }
  }
  return table;
}

function cell(table: readonly Uint16Array[], i: number, j: number): number {
  return table[i]?.[j] ?? 0;
}

function toLines(kind: DiffLine["kind"], texts: readonly string[]): DiffLine[] {
  return texts.map(text => ({ kind, text }));
}

function splitLines(text: string): string[] {
  return text ? text.replace(/\n$/, "").split("\n") : [];
}
