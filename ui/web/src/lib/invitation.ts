import { signal } from "@preact/signals";
import { takeFragment } from "./fragment";

/** The secret of the link that one came by, or "". Here alone: a page loaded anew has forgotten it. */
export const invitation = signal("");

/** Take a link's secret out of the address, now and whenever a link is opened. Once, at the start. */
export function startInvitation(): void {
  const look = () => {
    const secret = takeFragment("invitation", location, history);
    if (secret) invitation.value = secret;
  };
  look();
  addEventListener("hashchange", look);
}
