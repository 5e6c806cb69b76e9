/**
 * A secret that the fragment of the address holds, or "". No browser sends a fragment: so no server, no
 * proxy on the way, has it in its log. From here on neither address nor history has it.
 */
export function takeFragment(name: string, at: Location, entries: History): string {
  const secret = new URLSearchParams(at.hash.replace(/^#/, "")).get(name) ?? "";
  if (secret) entries.replaceState(null, "", at.pathname + at.search);
  return secret;
}
