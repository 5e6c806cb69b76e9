/** Names of secrets in addresses. Pure. */

/** `secrets/` + a name whose segments may hold anything but a slash. */
export function secretPath(of: string, name: string): string {
  return `${of}/${name.split("/").map(encodeURIComponent).join("/")}`;
}

/** The page of a secret. */
export function secretHref(name: string): string {
  return `/secrets/one?name=${encodeURIComponent(name)}`;
}

/** The list below a folder (with its closing slash; empty for all). */
export function folderHref(prefix: string): string {
  return prefix ? `/secrets?prefix=${encodeURIComponent(prefix)}` : "/secrets";
}

/** A name's folders, each with all before it: `a/b/c` → `a/`, `a/b/`. */
export function parentFolders(name: string): string[] {
  const parts = name.split("/").slice(0, -1);
  return parts.map((_, index) => `${parts.slice(0, index + 1).join("/")}/`);
}

/** What lies directly below a folder, of these names: folders with how many are in them. */
export function countFolders(prefix: string, names: readonly string[]): Map<string, number> {
  const result = new Map<string, number>();
  for (const name of names) {
    const rest = name.slice(prefix.length);
    const end = rest.indexOf("/");
    if (end < 0) continue;
    const folder = prefix + rest.slice(0, end + 1);
    result.set(folder, (result.get(folder) ?? 0) + 1);
  }
  return result;
}
