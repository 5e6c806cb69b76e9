import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { type ApiError, asApiError } from "../lib/api";
import { Button } from "./button";
import { Notice } from "./states";
import "./dialog.css";

interface DialogProps {
  title: string;
  submitLabel: string;
  danger?: boolean;
  /** An error that it throws is shown, and the dialog stays open. */
  onSubmit: () => Promise<unknown>;
  onClose: () => void;
  /** Whether a field of the dialog shows the error, so that it is not shown below them as well. */
  isFieldError?: (error: ApiError) => boolean;
  children: ComponentChildren;
}

/**
 * A modal form. It uses the browser's own dialog element, which traps the focus, restores it, and
 * closes on Escape.
 */
export function Dialog({
  title,
  submitLabel,
  danger = false,
  onSubmit,
  onClose,
  isFieldError,
  children,
}: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  useEffect(() => {
    const dialog = element.current;
    const before = document.activeElement;
    dialog?.showModal();
    return () => {
      dialog?.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  useEffect(() => {
    element.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [error]);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await onSubmit();
      onClose();
    } catch (thrown) {
      setError(asApiError(thrown));
      setBusy(false);
    }
  };
  // Escape cancels at once, and the page takes it away itself. The browser says that it is closed a
  // frame later: by then another one may have been opened in its place.
  const cancel = (event: Event) => {
    event.preventDefault();
    onClose();
  };
  const closed = () => {
    if (element.current) onClose();
  };
  return (
    <dialog class="dialog" ref={element} aria-labelledby={id} onCancel={cancel} onClose={closed}>
      <form onSubmit={submit}>
        <h2 id={id}>{title}</h2>
        {children}
        {error && !isFieldError?.(error) && (
          <Notice tone="bad">
            {error.message}
            {error.requestId && ` (request ${error.requestId})`}
          </Notice>
        )}
        <footer>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" kind={danger ? "danger" : "primary"} busy={busy}>
            {submitLabel}
          </Button>
        </footer>
      </form>
    </dialog>
  );
}
