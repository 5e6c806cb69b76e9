/**
 * Local storage of this origin. Works without it, too. The only credential in it is the session key
 * (`lib/session-key.ts`), which is useless without the cookie.
 */

export function getStored(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function setStored(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Storage is full or disabled: the value lasts as long as the page.
  }
}

export function removeStored(key: string): void {
  try {
    localStorage.removeItem(key);
  } catch {
    // Storage is disabled: nothing was stored.
  }
}
