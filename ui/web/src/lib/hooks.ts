import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type ApiError, asApiError, get, type RequestOptions } from "./api";
import type { Collection } from "./collection";
import { feed } from "./feed";

/** The state of a `GET`. `reload` repeats it and keeps the data until the response arrives. */
export interface Query<T> {
  data: T | null;
  error: ApiError | null;
  loading: boolean;
  /** Unix milliseconds of the response. */
  at: number;
  reload: () => void;
}

/** Fetch `path`, and again when it changes. Null fetches nothing. Aborted on unmount. */
export function useGet<T>(path: string | null, query?: RequestOptions["query"]): Query<T> {
  const [turn, setTurn] = useState(0);
  const requestKey = JSON.stringify([path, query]);
  const [result, setResult] = useState<Omit<Query<T>, "reload"> & { requestKey: string }>({
    data: null,
    error: null,
    loading: path !== null,
    at: 0,
    requestKey,
  });
  // `requestKey` stands for path and query
  useEffect(() => {
    if (path === null) return;
    const controller = new AbortController();
    const { signal } = controller;
    setResult(last => ({
      data: last.requestKey === requestKey ? last.data : null,
      error: null,
      loading: true,
      at: last.at,
      requestKey,
    }));
    get<T>(path, { signal, ...(query ? { query } : {}) })
      .then(data => setResult({ data, error: null, loading: false, at: Date.now(), requestKey }))
      .catch(error => {
        if (signal.aborted) return;
        setResult(last => ({ ...last, error: asApiError(error), loading: false }));
      });
    return () => controller.abort();
  }, [requestKey, turn]);
  return { ...result, reload: () => setTurn(last => last + 1) };
}

/** `run` performs the action. `busy` is true while it runs; `error` is the last one. */
export interface Action {
  run: (event?: Event) => Promise<void>;
  busy: boolean;
  error: ApiError | null;
}

/** Wraps `act` for a button or form. An error that it throws is kept until the next run. */
export function useAction(act: () => Promise<unknown>): Action {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  const run = async (event?: Event) => {
    event?.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await act();
    } catch (thrown) {
      setError(asApiError(thrown));
    }
    setBusy(false);
  };
  return { run, busy, error };
}

/** Reload a query when `stamp` changes, for example with the live feed. */
export function useReloadOn(of: Query<unknown>, stamp: string | number): void {
  const last = useRef(stamp);
  useEffect(() => {
    if (last.current === stamp) return;
    last.current = stamp;
    of.reload();
  }, [stamp]);
}

/** Watch a topic of the live feed while the component is mounted. */
export function useLive<Row extends object>(
  topic: string,
  org: string,
  of?: string,
): Collection<Row> {
  const kept = useRef<() => void>(undefined);
  const collection = useMemo(() => {
    kept.current?.();
    const wanted = of === undefined ? { topic, org } : { topic, org, of };
    const [created, end] = feed.watch<Row>(wanted);
    kept.current = end;
    return created;
  }, [topic, org, of]);
  useEffect(() => () => kept.current?.(), []);
  return collection;
}
