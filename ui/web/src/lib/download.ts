import { fetchFile } from "./api";

/** Downloads a file of the API. `name` is used if the server gives none. */
export async function downloadFile(
  path: string,
  query: Record<string, string | number> = {},
  name = "",
): Promise<void> {
  const [body, named] = await fetchFile(path, query);
  saveFile(named || name, body.type, body);
}

/** Saves data as a file in the browser. */
export function saveFile(name: string, type: string, ...parts: BlobPart[]): void {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
