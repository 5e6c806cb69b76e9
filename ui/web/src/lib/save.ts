import { file } from "./api";

/** A file that the server makes, to keep; `name` where the server gives it none. */
export async function download(
  path: string,
  query: Record<string, string | number> = {},
  name = "",
): Promise<void> {
  const [body, named] = await file(path, query);
  save(named || name, body.type, body);
}

/** Hands a text, or parts of one, to the browser as a file to keep. */
export function save(name: string, type: string, ...parts: BlobPart[]): void {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
