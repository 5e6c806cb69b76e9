import { IconButton } from "./button";
import { showToast } from "./toasts";

export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const copy = () =>
    navigator.clipboard.writeText(text).then(
      () => showToast("Copied"),
      () => showToast("The browser blocked access to the clipboard", "bad"),
    );
  return <IconButton icon="copy" label={label} onClick={copy} />;
}
