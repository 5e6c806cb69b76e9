import { ApiError } from "../../../lib/api";
import { lineAt, lineOf, places } from "../../../lib/place";
import type { Fault } from "../../../parts/editor";

/** What stands in the way of a text being JSON. */
export function syntax(text: string): Fault[] {
  const { fault } = places(text);
  if (fault === null) return [];
  const found = text[fault];
  const said =
    found === undefined ? "it ends too soon" : `${JSON.stringify(found)} is not expected`;
  return [{ line: lineAt(text, fault), text: `This is not JSON: ${said}.` }];
}

/** All that the agent found wrong with a document, each at its line. Empty: it was about another thing. */
export function faultsOf(error: unknown, text: string): Fault[] {
  if (!(error instanceof ApiError) || error.status !== 400) return [];
  const { errors } = error.details as { errors?: { field: string; message: string }[] };
  const found = errors ?? [{ field: error.field, message: error.message }];
  return found.map(({ field, message }) => ({
    line: lineOf(text, field),
    text: field ? `${field} ${message}` : message,
  }));
}
