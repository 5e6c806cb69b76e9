import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { ApiError } from "../lib/api";
import { useAction } from "../lib/hooks";
import { Button } from "./button";
import { Notice } from "./states";

interface AuthFormProps {
  title: string;
  submitLabel: string;
  /** Errors that it throws are shown in the form. */
  onSubmit: () => Promise<void>;
  /** Shown for status 401. */
  unauthorizedMessage: string;
  /** Shown below the button. */
  extraActions?: ComponentChildren;
  children: ComponentChildren;
}

/** A sign-in form with one button. Its first empty field takes the focus. */
export function AuthForm({
  title,
  submitLabel,
  onSubmit,
  unauthorizedMessage,
  extraActions,
  children,
}: AuthFormProps) {
  const { run, busy, error } = useAction(onSubmit);
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    document.title = `${title} – Freehold`;
    const empty = [...(form.current?.querySelectorAll("input") ?? [])].find(({ value }) => !value);
    empty?.focus();
  }, [title]);
  return (
    <form onSubmit={run} ref={form}>
      <h1>{title}</h1>
      {error && <Notice tone="bad">{errorMessage(error, unauthorizedMessage)}</Notice>}
      {children}
      <Button type="submit" kind="primary" busy={busy}>
        {submitLabel}
      </Button>
      {extraActions}
    </form>
  );
}

function errorMessage(error: ApiError, refused: string): string {
  if (error.status === 401) return refused;
  return error.requestId ? `${error.message} (request ${error.requestId})` : error.message;
}
