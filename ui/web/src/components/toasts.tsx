import { signal } from "@preact/signals";
import { asApiError } from "../lib/api";
import type { Tone } from "./badge";
import { IconButton } from "./button";
import "./toasts.css";

interface Toast {
  id: number;
  text: string;
  tone: Tone;
}

const MAX_TOASTS = 4;
const TOAST_DURATION = 5000; // milliseconds; errors stay until they are dismissed
const shown = signal<Toast[]>([]);
let next = 1;

/** A short confirmation. Screen readers announce it. */
export function showToast(text: string, tone: Tone = "good"): void {
  const created = { id: next++, text, tone };
  shown.value = [...shown.value.slice(1 - MAX_TOASTS), created];
  if (tone !== "bad") setTimeout(() => dismiss(created.id), TOAST_DURATION);
}

/** Shows an error with its request ID. */
export function showError(error: unknown): void {
  const { message, requestId } = asApiError(error);
  showToast(requestId ? `${message} (request ${requestId})` : message, "bad");
}

/** The visible toasts. Rendered once, by the app shell. */
export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {shown.value.map(({ id, text, tone }) => (
        <div class={`toast tone-${tone}`} key={id}>
          <p>{text}</p>
          <IconButton icon="close" label="Dismiss" onClick={() => dismiss(id)} />
        </div>
      ))}
    </div>
  );
}

function dismiss(id: number): void {
  shown.value = shown.value.filter(toast => toast.id !== id);
}
