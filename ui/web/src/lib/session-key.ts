import { forget, recall, remember } from "./storage";

/**
 * The session key: what a page shows beside the cookie with every request (docs/people.md). It is in
 * the storage of this origin, port included: every tab has it, and no other port of this host, which
 * gets the cookie.
 */
const KEY = "freehold-session-key";

let key = recall(KEY) ?? "";

/** The key of this tab's session, or "". */
export function sessionKey(): string {
  return key;
}

/** Signed in: this key goes with every request from now on, and with those of other tabs. */
export function holdSessionKey(made: string): void {
  key = made;
  remember(KEY, made);
}

/** The session is over. Another tab may have begun the next one: its key stays. */
export function dropSessionKey(): void {
  if (recall(KEY) === key) forget(KEY);
  key = "";
}

/** Hear of another tab's signing in or out; its key is this tab's from then on. Once, at the start. */
export function watchSessionKey(changed: () => void): void {
  addEventListener("storage", event => {
    const now = recall(KEY) ?? "";
    if ((event.key !== KEY && event.key !== null) || now === key) return;
    key = now;
    changed();
  });
}
