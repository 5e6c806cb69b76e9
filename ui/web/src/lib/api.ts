import { signal } from "@preact/signals";
import { sessionKey } from "./session-key";
import { requestStepUp } from "./step-up";

/** An error response. `requestId` identifies the request in the server's log. */
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

  /** The invalid field, if the server named one. */
  get field(): string {
    return typeof this.details.field === "string" ? this.details.field : "";
  }
}

export interface RequestOptions {
  body?: unknown;
  query?: Record<string, string | number | boolean | undefined>;
  headers?: Record<string, string>;
  /** Aborts the request, for example when its page is left. */
  signal?: AbortSignal;
  /** Timeout in milliseconds. */
  timeout?: number;
}

/** Counts responses with status 401 for the current session. `lib/session.ts` reacts to it. */
export const unauthorizedCount = signal(0);

const API_ROOT = "/api/v1/";
/** Milliseconds. Reads can be repeated, so they time out earlier than writes. */
export const READ_TIMEOUT = 15_000;
const WRITE_TIMEOUT = 30_000;
const DOWNLOAD_TIMEOUT = 120_000;

/**
 * Sends a request to the API. `path` is below `/api/v1/`. Returns null for an empty response.
 *
 * A request that needs step-up authentication (`step_up`) is sent again after the user has
 * confirmed their identity. Throws `ApiError` for every failure (`code` `unreachable` without a
 * response), and the abort reason of `signal`.
 */
export async function apiRequest<T>(
  method: string,
  path: string,
  options: RequestOptions = {},
): Promise<T> {
  try {
    return await send<T>(method, path, options);
  } catch (error) {
    const stepUp = error instanceof ApiError && error.code === "step_up";
    if (!stepUp || !(await requestStepUp())) throw error;
    return send<T>(method, path, options);
  }
}

/** Downloads a file. Returns its content and name. Throws as `apiRequest`. */
export async function fetchFile(
  path: string,
  query?: RequestOptions["query"],
): Promise<[Blob, string]> {
  const headers: Record<string, string> = {};
  const key = addSessionKey(headers);
  const init: RequestInit = { method: "GET", headers, redirect: "error" };
  const url = API_ROOT + path + queryString(query);
  const { response, body } = await fetchWithTimeout(url, init, DOWNLOAD_TIMEOUT, found =>
    found.blob(),
  );
  if (!response.ok) throw errorFrom(response, await body.text(), key);
  const name = /filename="([^"]*)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1];
  return [body, name ?? ""];
}

/** Adds the session key to a request and returns it. */
function addSessionKey(headers: Record<string, string>): string {
  const key = sessionKey();
  if (key) headers["X-Session-Key"] = key;
  return key;
}

async function send<T>(method: string, path: string, options: RequestOptions): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json", ...options.headers };
  const key = addSessionKey(headers);
  const init: RequestInit = { method, headers, redirect: "error" };
  if (options.signal) init.signal = options.signal;
  if (options.body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(options.body);
  }
  const url = API_ROOT + path + queryString(options.query);
  const { response, body: text } = await fetchWithTimeout(url, init, options.timeout);
  if (!response.ok) throw errorFrom(response, text, key);
  return (text ? JSON.parse(text) : null) as T;
}

/**
 * Fetches a URL and reads the response, with a timeout in milliseconds. Throws `ApiError` (`code`
 * `unreachable`) without a complete response, and the abort reason of the signal.
 */
export async function fetchWithTimeout<B = string>(
  url: string,
  init: RequestInit,
  timeout = init.method === "GET" ? READ_TIMEOUT : WRITE_TIMEOUT,
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
    if (!late.aborted)
      throw new ApiError(
        0,
        "unreachable",
        "the server cannot be reached: check your connection and try again",
      );
    throw timeoutError(timeout, init.method === "GET");
  }
}

/** The error of a request without a response after `waited` milliseconds. */
export function timeoutError(waited: number, isQuestion: boolean): ApiError {
  const rest = isQuestion ? "" : ": the change may still happen, so check before you try again";
  return new ApiError(
    0,
    "unreachable",
    `the server did not answer within ${waited / 1000} s${rest}`,
  );
}

export const get = <T>(path: string, options?: RequestOptions) =>
  apiRequest<T>("GET", path, options);
export const post = <T>(path: string, body?: unknown, options?: RequestOptions) =>
  apiRequest<T>("POST", path, { ...options, ...(body === undefined ? {} : { body }) });
export const put = <T>(path: string, body: unknown) => apiRequest<T>("PUT", path, { body });
export const patch = <T>(path: string, body: unknown) => apiRequest<T>("PATCH", path, { body });
export const remove = <T>(path: string) => apiRequest<T>("DELETE", path);

/** Converts any thrown value to an `ApiError`. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError(0, "unexpected", error instanceof Error ? error.message : String(error));
}

function queryString(query: RequestOptions["query"]): string {
  const pairs = Object.entries(query ?? {}).filter(([, value]) => value !== undefined);
  return pairs.length
    ? `?${new URLSearchParams(pairs.map(([name, value]) => [name, String(value)]))}`
    : "";
}

/** `key` is the session key of the request. A 401 for an older session is not counted. */
function errorFrom(response: Response, text: string, key: string): ApiError {
  if (response.status === 401 && key === sessionKey()) unauthorizedCount.value++;
  const id = response.headers.get("X-Request-Id") ?? "";
  try {
    const problem = JSON.parse(text);
    const code = String(problem.code ?? "unknown");
    const message = String(problem.message ?? response.statusText);
    return new ApiError(
      response.status,
      code,
      message,
      problem.request_id ?? id,
      problem.details ?? {},
    );
  } catch {
    return new ApiError(response.status, "unknown", `status ${response.status}`, id);
  }
}
