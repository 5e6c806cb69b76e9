import type { Severity } from "../../../lib/api-types";

/** Settings of a channel (docs/guides/alerts.md). */
export interface ChannelSettings {
  name: string;
  type: "email" | "webhook" | "slack";
  severity: Severity;
  events: string[];
  kinds: string[];
  tags: string[];
  vaults: string[];
  window: number;
  digest: number;
  quiet: QuietHours | null;
  urgent: Severity | null;
  per_hour: number;
  to: string[];
  server: MailServer | null;
  enabled: boolean;
}

export interface QuietHours {
  begins: string;
  ends: string;
  zone: string;
}

export interface MailServer {
  host: string;
  port: number;
  tls: "starttls" | "tls" | "plain";
  username: string;
  sender: string;
}

export interface Channel extends ChannelSettings {
  id: string;
  host: string;
  sent_at: string | null;
  failed_at: string | null;
  failures: number;
  reason: string;
  waiting: number;
  dead: number;
  /** The account that owns the channel. Empty if unknown. */
  owner: string;
  /** Why the channel is suspended. Empty if it is not. */
  suspended: string;
}

/** `key` is a webhook's signing key, shown once; else empty. */
export interface SavedChannel {
  channel: Channel;
  key: string;
}

export interface Notice {
  id: string;
  kind: string;
  code: string;
  severity: Severity;
  vault: string;
  message: string;
  at: string;
  repeated: number;
}

export interface Delivery {
  id: string;
  channel: string;
  state: "waiting" | "sent" | "dead";
  attempts: number;
  reason: string;
  created_at: string;
  due_at: string;
  finished_at: string | null;
  omitted: number;
  notices: Notice[];
}
