import { useEffect, useState } from "preact/hooks";
import { api } from "../../../agent/paths";
import { get } from "../../../lib/api";
import { now } from "../../../lib/clock";
import { useAct } from "../../../lib/hooks";
import { Button } from "../../../parts/button";
import { Card } from "../../../parts/card";
import { Notice } from "../../../parts/states";
import { toast } from "../../../parts/toasts";

const SHOWN_FOR = 30_000; // milliseconds, on the screen and on the clipboard

/** A value and until when it is shown; nothing of it is kept once it is hidden. */
interface Shown {
  text: string;
  until: number;
}

interface ValueProps {
  name: string;
  version: number;
}

/**
 * The value, on demand: hidden again after a while, when the window loses the focus, and with the
 * page. Each showing is a read like any other, and on record.
 */
export function Value({ name, version }: ValueProps) {
  const [shown, setShown] = useState<Shown | null>(null);
  const isShown = shown !== null;
  useEffect(() => {
    if (!isShown) return;
    const hide = () => setShown(null);
    const timer = setTimeout(hide, SHOWN_FOR);
    addEventListener("blur", hide);
    document.addEventListener("visibilitychange", hide);
    return () => {
      clearTimeout(timer);
      removeEventListener("blur", hide);
      document.removeEventListener("visibilitychange", hide);
    };
  }, [isShown]);
  const { run, busy, error } = useAct(async () => {
    const { value } = await get<{ value: unknown }>(api("secrets", name), { query: { version } });
    setShown({ text: written(value), until: Date.now() + SHOWN_FOR });
  });
  return (
    <Card
      title={`Value of version ${version}`}
      aside={shown && `hidden in ${Math.max(1, Math.ceil((shown.until - now.value) / 1000))} s`}
    >
      <div class="stack">
        {error && <Notice tone="bad">{error.message}</Notice>}
        {shown ? (
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by the keyboard
          <section class="code value" aria-label="Value" tabIndex={0}>
            <pre>{shown.text}</pre>
          </section>
        ) : (
          <p class="muted">Hidden. Showing it is a read, and goes on the audit log.</p>
        )}
        <div class="line">
          {shown ? (
            <>
              <Button icon="copy" onClick={() => copy(shown.text)}>
                Copy
              </Button>
              <Button onClick={() => setShown(null)}>Hide</Button>
            </>
          ) : (
            <Button icon="eye" busy={busy} onClick={run}>
              Show the value
            </Button>
          )}
        </div>
      </div>
    </Card>
  );
}

function written(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

/** On the clipboard for a while: then it is overwritten, if this page may still write there. */
async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    toast("The browser does not let this page copy", "bad");
    return;
  }
  toast("Copied; the clipboard is cleared in 30 s if this page is in front then");
  setTimeout(() => void navigator.clipboard.writeText("").catch(() => {}), SHOWN_FOR);
}
