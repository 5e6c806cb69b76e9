import { signal } from "@preact/signals";
import { prove } from "./proof";

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
const TIMEOUT = 30_000;
let csrf = "";

/** The token that goes with every change from now on: a page of another origin cannot know it. */
export function holdCsrf(token: string): void {
  csrf = token;
}

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

async function once<T>(method: string, path: string, asked: Asked): Promise<T> {
  const ends = [AbortSignal.timeout(asked.timeout ?? TIMEOUT)];
  if (asked.signal) ends.push(asked.signal);
  const headers: Record<string, string> = { Accept: "application/json", ...asked.headers };
  if (method !== "GET" && csrf) headers["X-CSRF-Token"] = csrf;
  const init: RequestInit = { method, headers, signal: AbortSignal.any(ends), redirect: "error" };
  if (asked.body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(asked.body);
  }
  let response: Response;
  try {
    response = await fetch(API + path + search(asked.query), init);
  } catch (error) {
    asked.signal?.throwIfAborted();
    throw unreachable(error);
  }
  if (!response.ok) throw await refusal(response);
  const text = await response.text();
  return (text ? JSON.parse(text) : null) as T;
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

function unreachable(error: unknown): ApiError {
  const late = error instanceof DOMException && error.name === "TimeoutError";
  const said = late ? "the server did not answer in time" : "the server cannot be reached";
  return new ApiError(0, "unreachable", said);
}

async function refusal(response: Response): Promise<ApiError> {
  if (response.status === 401) signedOut.value++;
  const id = response.headers.get("X-Request-Id") ?? "";
  try {
    const told = await response.json();
    const code = String(told.code ?? "unknown");
    const message = String(told.message ?? response.statusText);
    return new ApiError(response.status, code, message, told.request_id ?? id, told.details ?? {});
  } catch {
    return new ApiError(response.status, "unknown", `status ${response.status}`, id);
  }
}
