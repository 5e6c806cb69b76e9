import { useEffect, useState } from "preact/hooks";
import { asApiError, post } from "../../lib/api";
import { lineAt, lineOf, places } from "../../lib/place";
import { ofOrganization } from "../../lib/session";
import type { PolicyDocument } from "../../lib/types";
import type { Fault } from "../../parts/editor";

/** What is known of a text as a policy. `document` is there while it is a good one. */
export interface Judged {
  faults: Fault[];
  document: PolicyDocument | null;
  checking: boolean;
}

const PAUSE = 250; // milliseconds without typing until the server is asked

/** A text as it is typed: JSON here, the rest by the server, each fault with its line. */
export function useJudged(name: string, text: string): Judged {
  const [judged, setJudged] = useState<Judged>({ faults: [], document: null, checking: true });
  useEffect(() => {
    const read = plain(text);
    if ("line" in read) return setJudged({ faults: [read], document: null, checking: false });
    setJudged({ faults: [], document: null, checking: true });
    const ending = new AbortController();
    const timer = setTimeout(async () => {
      const faults = await faultsOf(name, text, read.document, ending.signal);
      if (ending.signal.aborted) return;
      const document = faults.length ? null : (read.document as PolicyDocument);
      setJudged({ faults, document, checking: false });
    }, PAUSE);
    return () => {
      clearTimeout(timer);
      ending.abort();
    };
  }, [name, text]);
  return judged;
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
  name: string,
  text: string,
  body: unknown,
  signal: AbortSignal,
): Promise<Fault[]> {
  try {
    await post(ofOrganization(`policies/${name}/validate`), body, { signal });
    return [];
  } catch (thrown) {
    const { field, message } = asApiError(thrown);
    const said = message.replace(/^body: /, "");
    return [{ line: lineOf(text, field), text: field ? `${field}: ${said}` : said }];
  }
}
