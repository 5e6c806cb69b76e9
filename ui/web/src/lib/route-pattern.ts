/** Patterns of addresses, such as `/agents/:vault`. Pure. */

/** The parameters of a matching path. Null if it does not match. */
export function matchPattern(pattern: string, at: string): Record<string, string> | null {
  const wanted = segments(pattern);
  const given = segments(at);
  if (wanted.length !== given.length) return null;
  const params: Record<string, string> = {};
  for (const [index, word] of wanted.entries()) {
    const value = decoded(given[index] ?? "");
    if (word.startsWith(":")) {
      if (!value) return null;
      params[word.slice(1)] = value;
    } else if (word !== value) return null;
  }
  return params;
}

function segments(text: string): string[] {
  return text.split("/").filter(Boolean);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a stray % must not break the page
  }
}
