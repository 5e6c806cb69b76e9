import { signal } from "@preact/signals";
import { prove } from "./proof";
import { sessionKey } from "./session-key";

/** What the server said against a request; `requestId` is what its log knows the request by. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestId = "",
    readonly details: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
  }

  /** The field that is at fault, if the server named one. */
  get field(): string {
    return typeof this.details.field === "string" ? this.details.field : "";
  }
}

export interface Asked {
  body?: unknown;
  query?: Record<string, string | number | boolean | undefined>;
  headers?: Record<string, string>;
  /** Ends the request, as a page does that is left. */
  signal?: AbortSignal;
  /** Longest wait in milliseconds. */
  timeout?: number;
}

/** Counts answers that said "you are not signed in"; `lib/session.ts` looks. */
export const signedOut = signal(0);

const API = "/api/v1/";
/** Milliseconds that an answer may take: a question may be asked again, a change rather not. */
export const ASKED_WITHIN = 15_000;
const CHANGED_WITHIN = 30_000;
const FILE_WITHIN = 120_000;

/**
 * One request to the API; `path` is below `/api/v1/`. Null for an answer without a body.
 *
 * What asks again who one is (`step_up`) is sent a second time once that was shown. Throws `ApiError`
 * for whatever is no success, also when the server is not reached (`code` `unreachable`), and the
 * signal's reason when it was ended.
 */
export async function call<T>(method: string, path: string, asked: Asked = {}): Promise<T> {
  try {
    return await once<T>(method, path, asked);
  } catch (error) {
    const stepUp = error instanceof ApiError && error.code === "step_up";
    if (!stepUp || !(await prove())) throw error;
    return once<T>(method, path, asked);
  }
}

/** A file that the server makes: its content and its name. Throws as `call`. */
export async function file(path: string, query?: Asked["query"]): Promise<[Blob, string]> {
  const headers: Record<string, string> = {};
  const key = sign(headers);
  const init: RequestInit = { method: "GET", headers, redirect: "error" };
  const url = API + path + search(query);
  const { response, body } = await request(url, init, FILE_WITHIN, found => found.blob());
  if (!response.ok) throw refusal(response, await body.text(), key);
  const name = /filename="([^"]*)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1];
  return [body, name ?? ""];
}

/** Put the session key on a request; which one it was. */
function sign(headers: Record<string, string>): string {
  const key = sessionKey();
  if (key) headers["X-Session-Key"] = key;
  return key;
}

async function once<T>(method: string, path: string, asked: Asked): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json", ...asked.headers };
  const key = sign(headers);
  const init: RequestInit = { method, headers, redirect: "error" };
  if (asked.signal) init.signal = asked.signal;
  if (asked.body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(asked.body);
  }
  const url = API + path + search(asked.query);
  const { response, body: text } = await request(url, init, asked.timeout);
  if (!response.ok) throw refusal(response, text, key);
  return (text ? JSON.parse(text) : null) as T;
}

/**
 * One `fetch`, its whole answer read, within a time. Throws `ApiError` (`code` `unreachable`) when
 * nothing came, or not in time, and the signal's reason when it was ended.
 */
export async function request<B = string>(
  url: string,
  init: RequestInit,
  timeout = init.method === "GET" ? ASKED_WITHIN : CHANGED_WITHIN,
  read = (response: Response) => response.text() as Promise<B>,
): Promise<{ response: Response; body: B }> {
  const ended = init.signal ?? undefined;
  const late = AbortSignal.timeout(timeout);
  try {
    const response = await fetch(url, {
      ...init,
      signal: AbortSignal.any([late, ...(ended ? [ended] : [])]),
    });
    return { response, body: await read(response) };
  } catch {
    ended?.throwIfAborted();
    if (!late.aborted) throw new ApiError(0, "unreachable", "the server cannot be reached");
    throw unanswered(timeout, init.method === "GET");
  }
}

/** No answer within so many milliseconds, to a question or to a change. */
export function unanswered(waited: number, isQuestion: boolean): ApiError {
  const rest = isQuestion ? "" : ": it may still do this, so look before you try again";
  return new ApiError(
    0,
    "unreachable",
    `the server did not answer within ${waited / 1000} s${rest}`,
  );
}

export const get = <T>(path: string, asked?: Asked) => call<T>("GET", path, asked);
export const post = <T>(path: string, body?: unknown, asked?: Asked) =>
  call<T>("POST", path, { ...asked, ...(body === undefined ? {} : { body }) });
export const put = <T>(path: string, body: unknown) => call<T>("PUT", path, { body });
export const patch = <T>(path: string, body: unknown) => call<T>("PATCH", path, { body });
export const remove = <T>(path: string) => call<T>("DELETE", path);

/** Any thrown thing as an `ApiError`, for showing. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError(0, "unexpected", error instanceof Error ? error.message : String(error));
}

function search(query: Asked["query"]): string {
  const pairs = Object.entries(query ?? {}).filter(([, value]) => value !== undefined);
  return pairs.length
    ? `?${new URLSearchParams(pairs.map(([name, value]) => [name, String(value)]))}`
    : "";
}

/** `key`: what the request came with. Of a session that is over here it says nothing new. */
function refusal(response: Response, text: string, key: string): ApiError {
  if (response.status === 401 && key === sessionKey()) signedOut.value++;
  const id = response.headers.get("X-Request-Id") ?? "";
  try {
    const told = JSON.parse(text);
    const code = String(told.code ?? "unknown");
    const message = String(told.message ?? response.statusText);
    return new ApiError(response.status, code, message, told.request_id ?? id, told.details ?? {});
  } catch {
    return new ApiError(response.status, "unknown", `status ${response.status}`, id);
  }
}
