import { signal } from "@preact/signals";
import { takeFragmentParameter } from "./fragment";

/** The secret of the opened invitation link, or "". Kept in memory only: a reload clears it. */
export const invitation = signal("");

/**
 * Take the secret of an invitation link from the address, now and on later links. Call once at
 * startup.
 */
export function watchInvitationLinks(): void {
  const look = () => {
    const secret = takeFragmentParameter("invitation", location, history);
    if (secret) invitation.value = secret;
  };
  look();
  addEventListener("hashchange", look);
}
