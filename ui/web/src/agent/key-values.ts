/** Parses lists and key-value pairs of text fields. Pure. */

/** `a, b` → `["a", "b"]`. */
export function parseList(text: string): string[] {
  return text
    .split(/[,\n]/)
    .map(word => word.trim())
    .filter(Boolean);
}

/** Parse one `key: value` per line. Throws `Error` that names the faulty line. */
export function parseKeyValues(text: string): Record<string, string> {
  const result: Record<string, string> = {};
  for (const [index, line] of text.split("\n").entries()) {
    if (!line.trim()) continue;
    const colon = line.indexOf(":");
    const key = line.slice(0, Math.max(colon, 0)).trim();
    if (!key) throw new Error(`Line ${index + 1} is not of the form key: value`);
    result[key] = line.slice(colon + 1).trim();
  }
  return result;
}

export function formatKeyValues(pairs: Readonly<Record<string, string>>): string {
  return Object.entries(pairs)
    .map(([key, value]) => `${key}: ${value}`)
    .join("\n");
}

/** A JSON merge patch (RFC 7396) from `before` to `after`. Null removes a key. */
export function mergePatch(
  before: Readonly<Record<string, string>>,
  after: Readonly<Record<string, string>>,
): Record<string, string | null> {
  const gone = Object.keys(before).filter(key => !(key in after));
  return { ...Object.fromEntries(gone.map(key => [key, null])), ...after };
}
