import { getStored, removeStored, setStored } from "./storage";

/**
 * The session key, which every request sends with the cookie (docs/guides/people.md). It is in the storage
 * of this origin, which includes the port. All tabs share it; other ports of the host, which get
 * the cookie, do not.
 */
const KEY = "freehold-session-key";

let key = getStored(KEY) ?? "";

/** The session key of this tab, or "". */
export function sessionKey(): string {
  return key;
}

/** Store the key of a new session for all tabs. */
export function setSessionKey(made: string): void {
  key = made;
  setStored(KEY, made);
}

/** Forget the session. If another tab has started a new one, its key stays. */
export function clearSessionKey(): void {
  if (getStored(KEY) === key) removeStored(KEY);
  key = "";
}

/** Call `changed` when another tab signs in or out. Call once at startup. */
export function onSessionKeyChange(changed: () => void): void {
  addEventListener("storage", event => {
    const now = getStored(KEY) ?? "";
    if ((event.key !== KEY && event.key !== null) || now === key) return;
    key = now;
    changed();
  });
}
