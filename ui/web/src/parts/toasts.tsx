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

const MOST = 4;
const SHOWN_FOR = 5000; // milliseconds; what went wrong stays until it is closed
const shown = signal<Toast[]>([]);
let next = 1;

/** A short word about what was just done, read out by screen readers. */
export function toast(text: string, tone: Tone = "good"): void {
  const made = { id: next++, text, tone };
  shown.value = [...shown.value.slice(1 - MOST), made];
  if (tone !== "bad") setTimeout(() => drop(made.id), SHOWN_FOR);
}

/** What the server refused, with the request id that its log knows. */
export function toastError(error: unknown): void {
  const { message, requestId } = asApiError(error);
  toast(requestId ? `${message} (request ${requestId})` : message, "bad");
}

/** Where they appear; once in the shell. */
export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {shown.value.map(({ id, text, tone }) => (
        <div class={`toast tone-${tone}`} key={id}>
          <p>{text}</p>
          <IconButton icon="close" label="Close this message" onClick={() => drop(id)} />
        </div>
      ))}
    </div>
  );
}

function drop(id: number): void {
  shown.value = shown.value.filter(toast => toast.id !== id);
}
