import type { Severity } from "../../lib/types";
import { split } from "../policy/targets";
import type { Channel, Server, Terms } from "./wire";

/** A channel as it is typed: texts, as fields have them. */
export interface Draft {
  name: string;
  type: Terms["type"];
  url: string;
  to: string;
  own: boolean;
  host: string;
  port: string;
  tls: Server["tls"];
  username: string;
  sender: string;
  password: string;
  severity: Severity;
  events: string;
  kinds: string[];
  tags: string;
  vaults: string;
  window: string;
  digest: string;
  quiet: boolean;
  begins: string;
  ends: string;
  zone: string;
  urgent: string;
  per_hour: string;
}

export const MINUTE = 60; // seconds

/** What a channel is until somebody says otherwise: as the server has it (`Terms`). */
const FIRST: Omit<Terms, "name"> = {
  type: "email",
  severity: "warning",
  events: [],
  kinds: ["raised", "resolved"],
  tags: [],
  vaults: [],
  window: 600,
  digest: 0,
  quiet: null,
  urgent: "critical",
  per_hour: 60,
  to: [],
  server: null,
  enabled: true,
};
const SERVER: Server = { host: "", port: 587, tls: "starttls", username: "", sender: "" };

export function draftOf(channel: Channel | null, zone: string): Draft {
  const terms: Terms = channel ?? { name: "", ...FIRST };
  const { host, port, sender, tls, username } = terms.server ?? SERVER;
  return {
    name: terms.name,
    type: terms.type,
    severity: terms.severity,
    kinds: terms.kinds,
    ...{ url: "", password: "" },
    ...{ own: !!terms.server, host, port: String(port), tls, username, sender },
    to: terms.to.join(" "),
    events: terms.events.join(" "),
    tags: terms.tags.join(" "),
    vaults: terms.vaults.join(" "),
    window: String(terms.window / MINUTE),
    digest: String(terms.digest / MINUTE),
    quiet: !!terms.quiet,
    ...(terms.quiet ?? { begins: "22:00", ends: "07:00", zone }),
    urgent: terms.urgent ?? "",
    per_hour: String(terms.per_hour),
  };
}

/** The request's body; what is secret and left empty stays as it is. */
export function bodyOf(draft: Draft, enabled: boolean): Record<string, unknown> {
  const isMail = draft.type === "email";
  return {
    name: draft.name.trim(),
    type: draft.type,
    ...(!isMail && draft.url ? { url: draft.url.trim() } : {}),
    ...(isMail ? { to: split(draft.to), server: draft.own ? serverOf(draft) : null } : {}),
    ...(isMail && draft.own && draft.password ? { password: draft.password } : {}),
    severity: draft.severity,
    events: split(draft.events),
    kinds: draft.kinds,
    tags: split(draft.tags),
    vaults: split(draft.vaults),
    window: seconds(draft.window),
    digest: seconds(draft.digest),
    quiet: draft.quiet ? { begins: draft.begins, ends: draft.ends, zone: draft.zone } : null,
    urgent: draft.urgent || null,
    per_hour: Number(draft.per_hour),
    enabled,
  };
}

function serverOf({ host, port, sender, tls, username }: Draft): Server {
  return { host: host.trim(), port: Number(port), tls, username, sender };
}

function seconds(minutes: string): number {
  return Math.round(Number(minutes) * MINUTE);
}
