import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { ApiError } from "../lib/api";
import type { Freshness } from "../lib/collection";
import { feed } from "../lib/feed";
import type { Instant } from "../lib/format";
import type { Query } from "../lib/hooks";
import type { Tone } from "./badge";
import { Button } from "./button";
import { Icon, type IconName } from "./icon";
import { RelativeTime, Timestamp } from "./time";
import "./badge.css"; // for the tones
import "./states.css";

const SPINNER_DELAY = 200; // milliseconds; avoids a flash of the spinner for fast responses

/** A loading message. It appears after a short delay. */
export function Loading({ label = "Loading" }: { label?: string }) {
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), SPINNER_DELAY);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div class="state" role="status">
      {slow && <span class="spinner" aria-hidden="true" />}
      <p class={slow ? "" : "visually-hidden"}>{label}…</p>
      {slow && feed.state.value === "waiting" && (
        <p>The server does not respond. Retrying automatically.</p>
      )}
    </div>
  );
}

interface EmptyStateProps {
  icon?: IconName;
  title: string;
  /** An explanation or the next step. */
  children?: ComponentChildren;
}

/** Shown instead of an empty list. */
export function EmptyState({ icon = "search", title, children }: EmptyStateProps) {
  return (
    <div class="state">
      <Icon name={icon} />
      <h2>{title}</h2>
      {children && <p>{children}</p>}
    </div>
  );
}

/** A failed request: message, request ID and a retry button. */
export function ErrorState({ error, onRetry }: { error: ApiError; onRetry?: () => void }) {
  return (
    <div class="state failure" role="alert">
      <Icon name="alert" />
      <h2>{errorTitle(error)}</h2>
      <p>{sentence(error.message)}</p>
      {error.requestId && (
        <p>
          Request <code>{error.requestId}</code>
        </p>
      )}
      {onRetry && <Button onClick={onRetry}>Try again</Button>}
    </div>
  );
}

interface NoticeProps {
  tone: Tone;
  children: ComponentChildren;
  /** Buttons behind the message. */
  actions?: ComponentChildren;
}

/** A message across a page or card. */
export function Notice({ tone, children, actions }: NoticeProps) {
  return (
    <div class={`notice tone-${tone}`} role="status">
      <Icon name={tone === "good" ? "check" : "alert"} />
      <span>{children}</span>
      {actions}
    </div>
  );
}

/** Shown while the live feed is disconnected. The stylesheet dims what follows it. */
export function StaleNotice({ freshness }: { freshness: Freshness }) {
  const since = feed.staleSince.value;
  if (freshness !== "stale" || since === null) return null;
  return (
    <OutdatedNotice
      message={
        <>
          Not live since <Timestamp at={since / 1000} />: the server does not respond. Values are
          from that time.
        </>
      }
      at={since / 1000}
      onRetry={() => feed.reconnect()}
    />
  );
}

interface OutdatedNoticeProps {
  message: ComponentChildren;
  /** When the values were current. */
  at: Instant;
  onRetry?: () => void;
}

/**
 * A message with the age of the values. The text is static, so that screen readers read it once.
 */
export function OutdatedNotice({ message, at, onRetry }: OutdatedNoticeProps) {
  return (
    <div class="notice tone-warn old">
      <Icon name="alert" />
      <span role="status">{message}</span>
      <RelativeTime at={at} />
      {onRetry && <Button onClick={onRetry}>Retry now</Button>}
    </div>
  );
}

/** Shows the loading state, the error, or the data of a query. */
export function Await<T>(props: { query: Query<T>; children: (data: T) => ComponentChildren }) {
  const { query, children } = props;
  const { at, data, error, reload } = query;
  if (data === null) return error ? <ErrorState error={error} onRetry={reload} /> : <Loading />;
  return (
    <>
      {error && (
        <OutdatedNotice
          message={`Not refreshed: ${error.message}.`}
          at={at / 1000}
          onRetry={reload}
        />
      )}
      {children(data)}
    </>
  );
}

function errorTitle(error: ApiError): string {
  if (error.status === 403 || error.code === "permission_denied") return "Permission denied";
  if (error.status === 404) return "Not found";
  if (error.code === "unreachable") return "Not connected";
  return "Something went wrong";
}

function sentence(text: string): string {
  const full = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(full) ? full : `${full}.`;
}
