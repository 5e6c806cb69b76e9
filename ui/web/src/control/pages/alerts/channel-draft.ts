import type { Severity } from "../../../lib/api-types";
import { splitWords } from "../policy/targets";
import type { Channel, ChannelSettings, MailServer } from "./api-types";

/** A channel as edited: text for each field. */
export interface ChannelDraft {
  name: string;
  type: ChannelSettings["type"];
  url: string;
  to: string;
  ownServer: boolean;
  host: string;
  port: string;
  tls: MailServer["tls"];
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

/** Defaults of a new channel. They equal the server's. */
const CHANNEL_DEFAULTS: Omit<ChannelSettings, "name"> = {
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
const SERVER_DEFAULTS: MailServer = {
  host: "",
  port: 587,
  tls: "starttls",
  username: "",
  sender: "",
};

export function channelDraft(channel: Channel | null, zone: string): ChannelDraft {
  const terms: ChannelSettings = channel ?? { name: "", ...CHANNEL_DEFAULTS };
  const { host, port, sender, tls, username } = terms.server ?? SERVER_DEFAULTS;
  return {
    name: terms.name,
    type: terms.type,
    severity: terms.severity,
    kinds: terms.kinds,
    ...{ url: "", password: "" },
    ...{ ownServer: !!terms.server, host, port: String(port), tls, username, sender },
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

/** The request body. Empty secrets keep the stored ones. */
export function channelBody(draft: ChannelDraft, enabled: boolean): Record<string, unknown> {
  const isMail = draft.type === "email";
  return {
    name: draft.name.trim(),
    type: draft.type,
    ...(!isMail && draft.url ? { url: draft.url.trim() } : {}),
    ...(isMail
      ? { to: splitWords(draft.to), server: draft.ownServer ? mailServer(draft) : null }
      : {}),
    ...(isMail && draft.ownServer && draft.password ? { password: draft.password } : {}),
    severity: draft.severity,
    events: splitWords(draft.events),
    kinds: draft.kinds,
    tags: splitWords(draft.tags),
    vaults: splitWords(draft.vaults),
    window: seconds(draft.window),
    digest: seconds(draft.digest),
    quiet: draft.quiet ? { begins: draft.begins, ends: draft.ends, zone: draft.zone } : null,
    urgent: draft.urgent || null,
    per_hour: Number(draft.per_hour),
    enabled,
  };
}

function mailServer({ host, port, sender, tls, username }: ChannelDraft): MailServer {
  return { host: host.trim(), port: Number(port), tls, username, sender };
}

function seconds(minutes: string): number {
  return Math.round(Number(minutes) * MINUTE);
}
