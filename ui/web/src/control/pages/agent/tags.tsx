import { useState } from "preact/hooks";
import { Button } from "../../../components/button";
import { Dialog } from "../../../components/dialog";
import { TextField } from "../../../components/field";
import { showToast } from "../../../components/toasts";
import { put } from "../../../lib/api";
import { hasRole, organizationPath } from "../../../lib/session";
import { splitWords } from "../policy/targets";

/** What an agent is filed under; policies by tag follow. */
export function TagsAction({ vault, tags }: { vault: string; tags: readonly string[] }) {
  const [dialog, setDialog] = useState(false);
  if (!hasRole("operator")) return null;
  return (
    <>
      <Button onClick={() => setDialog(true)}>Tags…</Button>
      {dialog && <TagsDialog vault={vault} tags={tags} onClose={() => setDialog(false)} />}
    </>
  );
}

interface TagsDialogProps {
  vault: string;
  tags: readonly string[];
  onClose: () => void;
}

function TagsDialog({ vault, tags, onClose }: TagsDialogProps) {
  const [text, setText] = useState(tags.join(" "));
  const act = async () => {
    await put(organizationPath(`agents/${vault}/tags`), { tags: splitWords(text) });
    showToast(`The tags of ${vault} are changed`);
  };
  return (
    <Dialog title={`Tags of ${vault}`} submitLabel="Save" onSubmit={act} onClose={onClose}>
      <TextField
        label="Tags"
        value={text}
        onChange={setText}
        autocomplete="off"
        hint="Words of a–z, 0–9 and ._:=/- with spaces between. Policies for a tag reach it, or leave it, at once."
      />
    </Dialog>
  );
}
