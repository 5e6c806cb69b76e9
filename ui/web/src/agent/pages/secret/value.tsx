import { useEffect, useState } from "preact/hooks";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { Notice } from "../../../components/states";
import { showToast } from "../../../components/toasts";
import { get } from "../../../lib/api";
import { now } from "../../../lib/clock";
import { useAction } from "../../../lib/hooks";
import { secretPath } from "../../secret-paths";

const REVEAL_TIME = 30_000; // milliseconds, on the screen and on the clipboard

/** A revealed value. It is dropped when it is hidden. */
interface RevealedValue {
  text: string;
  until: number;
}

interface SecretValueProps {
  name: string;
  version: number;
}

/**
 * Reveals a value on demand. It is hidden after `REVEAL_TIME`, and when the window loses focus or
 * the page is left. Each reveal is an audited read.
 */
export function SecretValue({ name, version }: SecretValueProps) {
  const [shown, setShown] = useState<RevealedValue | null>(null);
  const isShown = shown !== null;
  useEffect(() => {
    if (!isShown) return;
    const hide = () => setShown(null);
    const timer = setTimeout(hide, REVEAL_TIME);
    addEventListener("blur", hide);
    document.addEventListener("visibilitychange", hide);
    return () => {
      clearTimeout(timer);
      removeEventListener("blur", hide);
      document.removeEventListener("visibilitychange", hide);
    };
  }, [isShown]);
  const { run, busy, error } = useAction(async () => {
    const { value } = await get<{ value: unknown }>(secretPath("secrets", name), {
      query: { version },
    });
    setShown({ text: valueText(value), until: Date.now() + REVEAL_TIME });
  });
  return (
    <Card
      title={`Value of version ${version}`}
      aside={shown && `Hides in ${Math.max(1, Math.ceil((shown.until - now.value) / 1000))} s`}
    >
      <div class="stack">
        {error && <Notice tone="bad">{error.message}</Notice>}
        {shown ? (
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by the keyboard
          <section class="code value" aria-label="Value" tabIndex={0}>
            <pre>{shown.text}</pre>
          </section>
        ) : (
          <p class="muted">
            Hidden. Revealing the value is a read and is recorded in the audit log.
          </p>
        )}
        <div class="line">
          {shown ? (
            <>
              <Button icon="copy" onClick={() => copyBriefly(shown.text)}>
                Copy
              </Button>
              <Button onClick={() => setShown(null)}>Hide</Button>
            </>
          ) : (
            <Button icon="eye" busy={busy} onClick={run}>
              Reveal value
            </Button>
          )}
        </div>
      </div>
    </Card>
  );
}

function valueText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

/** Copies a text and clears the clipboard after `REVEAL_TIME`, if the browser still allows it. */
async function copyBriefly(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    showToast("The browser blocked access to the clipboard", "bad");
    return;
  }
  showToast("Copied. The clipboard is cleared in 30 s if this page is still in front.");
  setTimeout(() => void navigator.clipboard.writeText("").catch(() => {}), REVEAL_TIME);
}
