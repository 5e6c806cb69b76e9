import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { ApiError } from "../lib/api";
import type { Freshness } from "../lib/collection";
import type { Loaded } from "../lib/hooks";
import type { Tone } from "./badge";
import { Button } from "./button";
import { Icon, type IconName } from "./icon";
import "./badge.css"; // the tones
import "./states.css";

const PATIENCE = 200; // milliseconds: what comes sooner needs no sign that it is on its way

/** It is on its way. */
export function Loading({ what = "Loading" }: { what?: string }) {
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), PATIENCE);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div class="state" role="status">
      {slow && <span class="spinner" aria-hidden="true" />}
      <p class={slow ? "" : "unseen"}>{what}…</p>
    </div>
  );
}

interface EmptyProps {
  icon?: IconName;
  title: string;
  /** What to do about it, or why that is fine. */
  children?: ComponentChildren;
}

/** There is nothing, and that is no fault. */
export function Empty({ icon = "search", title, children }: EmptyProps) {
  return (
    <div class="state">
      <Icon name={icon} />
      <h2>{title}</h2>
      {children && <p>{children}</p>}
    </div>
  );
}

/** It went wrong: what, the id to look for, and another try. */
export function Failure({ error, retry }: { error: ApiError; retry?: () => void }) {
  return (
    <div class="state failure" role="alert">
      <Icon name="alert" />
      <h2>{titleOf(error)}</h2>
      <p>{sentence(error.message)}</p>
      {error.requestId && (
        <p>
          Request <code>{error.requestId}</code>
        </p>
      )}
      {retry && <Button onClick={retry}>Try again</Button>}
    </div>
  );
}

/** One line across a page or card. */
export function Notice({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return (
    <div class={`notice tone-${tone}`} role="status">
      <Icon name={tone === "good" ? "check" : "alert"} />
      <span>{children}</span>
    </div>
  );
}

/** Says that what is shown is old, while the live feed is cut. */
export function Stale({ freshness }: { freshness: Freshness }) {
  if (freshness !== "stale") return null;
  return <Notice tone="warn">Not live: the connection is cut. This is what was heard last.</Notice>;
}

/** Loading, failure, or what came. */
export function Await<T>(props: { of: Loaded<T>; children: (data: T) => ComponentChildren }) {
  const { of, children } = props;
  if (of.data !== null) return <>{children(of.data)}</>;
  if (of.error) return <Failure error={of.error} retry={of.reload} />;
  return <Loading />;
}

function titleOf(error: ApiError): string {
  if (error.status === 403 || error.code === "permission_denied") return "You may not see this";
  if (error.status === 404) return "There is no such thing";
  if (error.code === "unreachable") return "Not connected";
  return "This did not work";
}

function sentence(text: string): string {
  const full = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(full) ? full : `${full}.`;
}
