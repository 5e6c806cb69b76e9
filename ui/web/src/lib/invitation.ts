import { signal } from "@preact/signals";

/** The secret of the link that one came by, or "". Here alone: a page loaded anew has forgotten it. */
export const invitation = signal("");

/** Take a link's secret out of the address, now and whenever a link is opened. Once, at the start. */
export function startInvitation(): void {
  const look = () => {
    const secret = take(location, history);
    if (secret) invitation.value = secret;
  };
  look();
  addEventListener("hashchange", look);
}

/** The secret that the fragment holds. From here on neither address nor history has it. */
export function take(at: Location, entries: History): string {
  const secret = secretIn(at.hash);
  if (secret) entries.replaceState(null, "", at.pathname + at.search);
  return secret;
}

/** In the fragment, which no browser sends: so no server, no proxy on the way, has it in its log. */
function secretIn(fragment: string): string {
  return new URLSearchParams(fragment.replace(/^#/, "")).get("invitation") ?? "";
}
