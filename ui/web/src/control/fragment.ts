/**
 * Reads a secret from the URL fragment and removes it from the address and the history. Returns ""
 * if there is none. Browsers do not send the fragment, so no server or proxy logs it.
 */
export function takeFragmentParameter(name: string, at: Location, entries: History): string {
  const secret = new URLSearchParams(at.hash.replace(/^#/, "")).get(name) ?? "";
  if (secret) entries.replaceState(null, "", at.pathname + at.search);
  return secret;
}
