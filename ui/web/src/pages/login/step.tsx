import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { ApiError } from "../../lib/api";
import { useAct } from "../../lib/hooks";
import { Button } from "../../parts/button";
import { Notice } from "../../parts/states";

interface StepProps {
  title: string;
  action: string;
  /** Does it; what it throws is shown. */
  act: () => Promise<void>;
  /** What a refusal means here. */
  refused: string;
  /** Below the button: another way. */
  also?: ComponentChildren;
  children: ComponentChildren;
}

/** One step through the door: a form with one button, whose first field is ready to be typed in. */
export function Step({ title, action, act, refused, also, children }: StepProps) {
  const { run, busy, error } = useAct(act);
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    document.title = `${title} – Freehold`;
    const empty = [...(form.current?.querySelectorAll("input") ?? [])].find(({ value }) => !value);
    empty?.focus();
  }, [title]);
  return (
    <form onSubmit={run} ref={form}>
      <h1>{title}</h1>
      {error && <Notice tone="bad">{told(error, refused)}</Notice>}
      {children}
      <Button type="submit" kind="primary" busy={busy}>
        {action}
      </Button>
      {also}
    </form>
  );
}

function told(error: ApiError, refused: string): string {
  if (error.status === 401) return refused;
  return error.requestId ? `${error.message} (request ${error.requestId})` : error.message;
}
