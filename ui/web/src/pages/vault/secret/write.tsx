import { useState } from "preact/hooks";
import { listed, paired } from "../../../agent/pairs";
import { api } from "../../../agent/paths";
import type { Secret } from "../../../agent/wire";
import { ApiError, post, put } from "../../../lib/api";
import { Dialog } from "../../../parts/dialog";
import { Area, Choice, Field } from "../../../parts/field";

const KINDS = [
  ["json", "JSON: an object with fields, or any value"],
  ["text", "Text, as it is typed"],
] as const;

interface Draft {
  kind: string;
  text: string;
}

/** What the draft stands for. Throws `ApiError` for what is not JSON. */
function parsed({ kind, text }: Draft): unknown {
  if (kind === "text") return text;
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(0, "value", "The value is not JSON. Choose Text to keep it as it is typed.");
  }
}

function Entry({ draft, change }: { draft: Draft; change: (draft: Draft) => void }) {
  return (
    <>
      <Choice
        label="The value is"
        value={draft.kind}
        change={kind => change({ ...draft, kind })}
        options={KINDS}
      />
      <Area
        label="Value"
        required
        rows={5}
        autocomplete="off"
        placeholder={draft.kind === "json" ? '{"user": "app", "password": "…"}' : ""}
        value={draft.text}
        change={text => change({ ...draft, text })}
      />
    </>
  );
}

interface CreateProps {
  /** Where one is. */
  folder: string;
  close: () => void;
  made: (name: string) => void;
}

export function Create({ folder, close, made }: CreateProps) {
  const [name, setName] = useState(folder);
  const [draft, setDraft] = useState<Draft>({ kind: "json", text: "" });
  const [tags, setTags] = useState("");
  const [metadata, setMetadata] = useState("");
  const act = async () => {
    const body = { name, value: parsed(draft), tags: listed(tags), metadata: pairs(metadata) };
    await post<Secret>("secrets", body);
    made(name);
  };
  return (
    <Dialog title="New secret" action="Store" act={act} close={close}>
      <Field
        label="Name"
        required
        autocomplete="off"
        hint="With its folders: secret/app/db"
        value={name}
        change={setName}
      />
      <Entry draft={draft} change={setDraft} />
      <Field label="Tags" hint="Several with commas" value={tags} change={setTags} />
      <Area
        label="Metadata"
        hint="A line each, key: value. Not secret: whoever may read metadata sees it, and each version keeps it."
        rows={2}
        value={metadata}
        change={setMetadata}
      />
    </Dialog>
  );
}

interface UpdateProps {
  secret: Secret;
  close: () => void;
  done: (said: string) => void;
}

/** The next version, if nobody has written one meanwhile. */
export function Update({ secret, close, done }: UpdateProps) {
  const [draft, setDraft] = useState<Draft>({ kind: "json", text: "" });
  const [cas, setCas] = useState(`${secret.version}`);
  const act = async () => {
    const only = cas.trim() ? { cas: Number(cas) } : {};
    const made = await put<Secret>(api("secrets", secret.name), { value: parsed(draft), ...only });
    done(`Version ${made.version} is stored`);
  };
  return (
    <Dialog title={`New version of ${secret.name}`} action="Store" act={act} close={close}>
      <Entry draft={draft} change={setDraft} />
      <Field
        label="Only if this is the current version"
        type="number"
        min="0"
        hint="So that nobody's change is lost unseen. Empty: in any case."
        value={cas}
        change={setCas}
      />
    </Dialog>
  );
}

/** As typed; its fault as the dialog shows it. */
export function pairs(text: string): Record<string, string> {
  try {
    return paired(text);
  } catch (error) {
    throw new ApiError(0, "metadata", error instanceof Error ? error.message : "unreadable");
  }
}
