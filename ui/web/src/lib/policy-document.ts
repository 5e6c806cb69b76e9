/** Validates and formats policy documents while they are edited. */

import { useEffect, useState } from "preact/hooks";
import type { Diagnostic } from "../components/code-editor";
import { type ApiError, asApiError, post } from "./api";
import type { PolicyDocument } from "./api-types";
import { jsonPositions, lineAtOffset, lineOfField } from "./json-positions";

/** The initial text of a new policy. */
export const POLICY_TEMPLATE: PolicyDocument = {
  description: "",
  rules: [{ effect: "allow", paths: ["secret/example/*"], capabilities: ["read", "list"] }],
};

/** What is known of a text as a policy. `document` is there while it is a good one. */
export interface Validation {
  diagnostics: Diagnostic[];
  document: PolicyDocument | null;
  checking: boolean;
}

const TYPING_PAUSE = 250; // milliseconds without typing before the server validates

/** What a document has beside its text in Vault's language. */
export type AclSettings = Pick<PolicyDocument, "description" | "enabled" | "priority">;

/**
 * Validates a text as it is edited: JSON here, the rest by the server at `path`. With `aclSettings`
 * a text that is not JSON is a policy in Vault's language, with these settings.
 */
export function useValidation(
  path: string,
  text: string,
  aclSettings: AclSettings | null = null,
): Validation {
  const [validation, setValidation] = useState<Validation>({
    diagnostics: [],
    document: null,
    checking: true,
  });
  useEffect(() => {
    const read = aclSettings && isAcl(text) ? readAcl(text, aclSettings) : parseJson(text);
    if ("line" in read)
      return setValidation({ diagnostics: [read], document: null, checking: false });
    setValidation({ diagnostics: [], document: null, checking: true });
    const controller = new AbortController();
    const timer = setTimeout(async () => {
      const diagnostics = await validate(path, text, read.document, controller.signal);
      if (controller.signal.aborted) return;
      const document = diagnostics.length ? null : (read.document as PolicyDocument);
      setValidation({ diagnostics, document, checking: false });
    }, TYPING_PAUSE);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [path, text, aclSettings]);
  return validation;
}

/** Whether a text is a policy in Vault's language: HCL, or JSON with Vault's `path`. */
export function isAcl(text: string): boolean {
  if (!text.trimStart().startsWith("{")) return true;
  if (jsonPositions(text).errorAt !== null) return false;
  const parsed: Record<string, unknown> = JSON.parse(text);
  return "path" in parsed && !("rules" in parsed);
}

function readAcl(text: string, settings: AclSettings): Diagnostic | { document: PolicyDocument } {
  if (!text.trim()) return { line: 1, text: "The policy is empty." };
  return { document: { ...settings, acl: text } };
}

/** The document as shown in editors, without its name. */
export function formatPolicy(policy: PolicyDocument): string {
  const { name: _, version: __, updated_at: ___, ...document } = policy;
  if (document.acl) return document.acl;
  return `${collapseLists(JSON.stringify(document, null, 2))}\n`;
}

function parseJson(text: string): Diagnostic | { document: unknown } {
  const { errorAt } = jsonPositions(text);
  if (errorAt === null) return { document: JSON.parse(text) };
  const result = text[errorAt];
  const detail =
    result === undefined ? "the text ends too early" : `${JSON.stringify(result)} is unexpected`;
  return { line: lineAtOffset(text, errorAt), text: `Invalid JSON: ${detail}.` };
}

async function validate(
  path: string,
  text: string,
  body: unknown,
  signal: AbortSignal,
): Promise<Diagnostic[]> {
  try {
    await post(path, body, { signal });
    return [];
  } catch (thrown) {
    return serverErrors(asApiError(thrown)).map(({ field, message }) => {
      const detail = message.replace(/^body: /, "");
      const place = field === "acl" && ACL_PLACE.exec(detail);
      if (place) return { line: Number(place[1]), text: detail.replace(/^acl /, "") };
      return { line: lineOfField(text, field), text: field ? `${field}: ${detail}` : detail };
    });
  }
}

/** Where an error is in a text in Vault's language. */
const ACL_PLACE = /\bAt (\d+):\d+: /;

interface ServerError {
  field: string;
  message: string;
}

/** All errors of the response, or its single one. */
function serverErrors(error: ApiError): ServerError[] {
  const { errors } = error.details as { errors?: ServerError[] };
  return errors?.length ? errors : [{ field: error.field, message: error.message }];
}

/** Put short lists on one line. */
function collapseLists(text: string): string {
  return text.replace(
    /\[\n\s+("(?:[^"\\]|\\.)*"(?:,\n\s+"(?:[^"\\]|\\.)*")*)\n\s+\]/g,
    (whole, list) => {
      const line = `[${String(list).replace(/,\n\s+/g, ", ")}]`;
      return line.length > 72 ? whole : line;
    },
  );
}
