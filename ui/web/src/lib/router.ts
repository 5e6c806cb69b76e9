import { computed, type ReadonlySignal, signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { matchPattern } from "./route-pattern";

/** The page of an address. `params` are decoded. */
export interface PageMatch {
  page: Route;
  params: Record<string, string>;
}

export interface PageProps {
  params: Record<string, string>;
}

/** A page, loaded on first use. */
export interface Route {
  /** A pattern such as `/agents/:vault`. */
  path: string;
  title: string;
  load: () => Promise<{ default: ComponentType<PageProps> }>;
}

/** The current address, without origin and fragment. */
export const address = signal(currentAddress());

export const path: ReadonlySignal<string> = computed(() => address.value.split("?")[0] ?? "/");
export const query: ReadonlySignal<URLSearchParams> = computed(
  () => new URLSearchParams(address.value.split("?")[1] ?? ""),
);

/** Go to an address. `replace` adds no history entry. */
export function navigate(to: string, { replace = false } = {}): void {
  if (to === address.peek()) return;
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  address.value = currentAddress();
}

/** Change query parameters. Empty ones are removed. Adds no history entry. */
export function setQuery(values: Record<string, string>): void {
  const next = new URLSearchParams(query.peek());
  for (const [name, value] of Object.entries(values)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  const text = next.toString();
  navigate(path.peek() + (text ? `?${text}` : ""), { replace: true });
}

/** The first page whose pattern matches. Null for none. */
export function matchPage(pages: readonly Route[], at: string): PageMatch | null {
  for (const page of pages) {
    const params = matchPattern(page.path, at);
    if (params) return { page, params };
  }
  return null;
}

/** Follow the history and clicks on internal links. Call once at startup. */
export function startRouter(): void {
  addEventListener("popstate", () => {
    address.value = currentAddress();
  });
  document.addEventListener("click", event => {
    const to = internalTarget(event);
    if (to === null) return;
    event.preventDefault();
    navigate(to);
  });
}

/** The internal target of a click. Null if the browser has to handle it. */
function internalTarget(event: MouseEvent): string | null {
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
  if (!plain || event.altKey || event.defaultPrevented || !(event.target instanceof Element))
    return null;
  const link = event.target.closest("a");
  if (!link || link.target || link.hasAttribute("download")) return null;
  const url = new URL(link.href, location.href);
  const ours = url.origin === location.origin && !url.pathname.startsWith("/api/");
  return ours && !url.hash ? url.pathname + url.search : null;
}

function currentAddress(): string {
  return location.pathname + location.search;
}
