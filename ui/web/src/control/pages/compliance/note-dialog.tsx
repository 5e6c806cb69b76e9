import { useState } from "preact/hooks";
import { Dialog } from "../../../components/dialog";
import { TextArea } from "../../../components/field";
import { showToast } from "../../../components/toasts";
import { ApiError, post } from "../../../lib/api";
import { organizationPath } from "../../../lib/session";
import type { Control } from "./api-types";

const MAX_DOCUMENT = 128 * 1024; // bytes of a document

/** Add what no system knows to a control: a sentence, perhaps with a document. */
export function NoteDialog({ control, onClose }: { control: Control; onClose: () => void }) {
  const [text, setText] = useState("");
  const [file, setFile] = useState<File | null>(null);
  const act = async () => {
    const { framework, id } = control;
    const document = file ? await encodeFile(file) : {};
    await post(organizationPath("control-notes"), { framework, control: id, text, ...document });
    showToast("Added: the next report has it");
  };
  return (
    <Dialog title={`Add to ${control.id}`} submitLabel="Add" onSubmit={act} onClose={onClose}>
      <p>
        It is never changed, it is on the trail with your name, and reports made from now on have
        it.
      </p>
      <TextArea
        label="What you can say"
        value={text}
        onChange={setText}
        rows={4}
        maxLength={4096}
        required
      />
      <label class="document">
        <span>A document (at most 128 KiB)</span>
        <input type="file" onChange={event => setFile(event.currentTarget.files?.[0] ?? null)} />
      </label>
    </Dialog>
  );
}

async function encodeFile(file: File): Promise<{ name: string; content: string }> {
  if (file.size > MAX_DOCUMENT) throw new ApiError(0, "size", "a document has at most 128 KiB");
  const data = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (const byte of data) text += String.fromCharCode(byte);
  const name = file.name.replace(/[^A-Za-z0-9._-]/g, "-").replace(/^[^A-Za-z0-9]+/, "");
  return { name: (name || "document").slice(0, 100), content: btoa(text) };
}
