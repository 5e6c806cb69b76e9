import { IconButton } from "./button";
import { toast } from "./toasts";

/** Puts a text on the clipboard. */
export function Copy({ text, label = "Copy" }: { text: string; label?: string }) {
  const copy = () =>
    navigator.clipboard.writeText(text).then(
      () => toast("Copied"),
      () => toast("The browser does not let this page copy", "bad"),
    );
  return <IconButton icon="copy" label={label} onClick={copy} />;
}
