/** API paths and page addresses of secrets. Pure. */

/** API path of a secret below `of`. Segments may hold any character but a slash. */
export function secretPath(of: string, name: string): string {
  return `${of}/${name.split("/").map(encodeURIComponent).join("/")}`;
}

export function secretHref(name: string): string {
  return `/secrets/one?name=${encodeURIComponent(name)}`;
}

/** The list of a folder. `prefix` ends with a slash; empty lists all. */
export function folderHref(prefix: string): string {
  return prefix ? `/secrets?prefix=${encodeURIComponent(prefix)}` : "/secrets";
}

/** All folders above a name: `a/b/c` → `a/`, `a/b/`. */
export function parentFolders(name: string): string[] {
  const parts = name.split("/").slice(0, -1);
  return parts.map((_, index) => `${parts.slice(0, index + 1).join("/")}/`);
}

/** The folders directly below `prefix`, each with the number of names in it. */
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
