/** A policy as it is typed: how it begins, how it is shown, and what is wrong with it. */

import { useEffect, useState } from "preact/hooks";
import type { Fault } from "../parts/editor";
import { type ApiError, asApiError, post } from "./api";
import { lineAt, lineOf, places } from "./place";
import type { PolicyDocument } from "./types";

/** What a new policy begins with. */
export const FIRST: PolicyDocument = {
  description: "",
  rules: [{ effect: "allow", paths: ["secret/example/*"], capabilities: ["read", "list"] }],
};

/** What is known of a text as a policy. `document` is there while it is a good one. */
export interface Judged {
  faults: Fault[];
  document: PolicyDocument | null;
  checking: boolean;
}

const PAUSE = 250; // milliseconds without typing until the server is asked

/** A text as it is typed: JSON here, the rest by the server at `path`, each fault with its line. */
export function useJudged(path: string, text: string): Judged {
  const [judged, setJudged] = useState<Judged>({ faults: [], document: null, checking: true });
  useEffect(() => {
    const read = plain(text);
    if ("line" in read) return setJudged({ faults: [read], document: null, checking: false });
    setJudged({ faults: [], document: null, checking: true });
    const ending = new AbortController();
    const timer = setTimeout(async () => {
      const faults = await faultsOf(path, text, read.document, ending.signal);
      if (ending.signal.aborted) return;
      const document = faults.length ? null : (read.document as PolicyDocument);
      setJudged({ faults, document, checking: false });
    }, PAUSE);
    return () => {
      clearTimeout(timer);
      ending.abort();
    };
  }, [path, text]);
  return judged;
}

/** As people read it; the name is not shown, for it is the policy's own. */
export function shown({ name: _, ...document }: PolicyDocument): string {
  return `${folded(JSON.stringify(document, null, 2))}\n`;
}

function plain(text: string): Fault | { document: unknown } {
  const { fault } = places(text);
  if (fault === null) return { document: JSON.parse(text) };
  const found = text[fault];
  const said =
    found === undefined ? "it ends too soon" : `${JSON.stringify(found)} is not expected`;
  return { line: lineAt(text, fault), text: `This is not JSON: ${said}.` };
}

async function faultsOf(
  path: string,
  text: string,
  body: unknown,
  signal: AbortSignal,
): Promise<Fault[]> {
  try {
    await post(path, body, { signal });
    return [];
  } catch (thrown) {
    return told(asApiError(thrown)).map(({ field, message }) => {
      const said = message.replace(/^body: /, "");
      return { line: lineOf(text, field), text: field ? `${field}: ${said}` : said };
    });
  }
}

interface Told {
  field: string;
  message: string;
}

/** All that the server found, where it tells all; else what it told. */
function told(error: ApiError): Told[] {
  const { errors } = error.details as { errors?: Told[] };
  return errors?.length ? errors : [{ field: error.field, message: error.message }];
}

/** Short lists on one line. */
function folded(text: string): string {
  return text.replace(
    /\[\n\s+("(?:[^"\\]|\\.)*"(?:,\n\s+"(?:[^"\\]|\\.)*")*)\n\s+\]/g,
    (whole, list) => {
      const line = `[${String(list).replace(/,\n\s+/g, ", ")}]`;
      return line.length > 72 ? whole : line;
    },
  );
}
