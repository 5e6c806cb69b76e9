import { useState } from "preact/hooks";
import { Dialog } from "../../../components/dialog";
import { SelectField, TextArea, TextField } from "../../../components/field";
import { ApiError, post, put } from "../../../lib/api";
import type { Secret } from "../../api-types";
import { parseKeyValues, parseList } from "../../key-values";
import { secretPath } from "../../secret-paths";

const VALUE_KINDS = [
  ["json", "JSON"],
  ["text", "Plain text"],
] as const;

interface ValueDraft {
  kind: string;
  text: string;
}

/** The value to store. Throws `ApiError` for invalid JSON. */
function parseValue({ kind, text }: ValueDraft): unknown {
  if (kind === "text") return text;
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(
      0,
      "value",
      "The value is not valid JSON. Choose Plain text to store it as typed.",
    );
  }
}

function ValueFields({
  draft,
  onChange,
}: {
  draft: ValueDraft;
  onChange: (draft: ValueDraft) => void;
}) {
  return (
    <>
      <SelectField
        label="Value format"
        value={draft.kind}
        onChange={kind => onChange({ ...draft, kind })}
        options={VALUE_KINDS}
      />
      <TextArea
        label="Value"
        required
        rows={5}
        autocomplete="off"
        placeholder={draft.kind === "json" ? '{"user": "app", "password": "…"}' : ""}
        value={draft.text}
        onChange={text => onChange({ ...draft, text })}
      />
    </>
  );
}

interface CreateSecretProps {
  /** Prefix of the new secret's name. */
  folder: string;
  onClose: () => void;
  onCreated: (name: string) => void;
}

export function CreateSecret({ folder, onClose, onCreated }: CreateSecretProps) {
  const [name, setName] = useState(folder);
  const [draft, setDraft] = useState<ValueDraft>({ kind: "json", text: "" });
  const [tags, setTags] = useState("");
  const [metadata, setMetadata] = useState("");
  const submit = async () => {
    const body = {
      name,
      value: parseValue(draft),
      tags: parseList(tags),
      metadata: metadataFrom(metadata),
    };
    await post<Secret>("secrets", body);
    onCreated(name);
  };
  return (
    <Dialog title="Create secret" submitLabel="Create" onSubmit={submit} onClose={onClose}>
      <TextField
        label="Name"
        required
        autocomplete="off"
        hint="Full path, for example secret/app/db."
        value={name}
        onChange={setName}
      />
      <ValueFields draft={draft} onChange={setDraft} />
      <TextField label="Tags" hint="Separate tags with commas." value={tags} onChange={setTags} />
      <TextArea
        label="Metadata"
        hint="One entry per line, key: value. Not secret: anyone with the read_metadata capability sees it. Stored with each version."
        rows={2}
        value={metadata}
        onChange={setMetadata}
      />
    </Dialog>
  );
}

interface WriteVersionProps {
  secret: Secret;
  onClose: () => void;
  onDone: (message: string) => void;
}

/** Writes a new version. The check-and-set version protects concurrent writes. */
export function WriteVersion({ secret, onClose, onDone }: WriteVersionProps) {
  const [draft, setDraft] = useState<ValueDraft>({ kind: "json", text: "" });
  const [cas, setCas] = useState(`${secret.version}`);
  const submit = async () => {
    const only = cas.trim() ? { cas: Number(cas) } : {};
    const created = await put<Secret>(secretPath("secrets", secret.name), {
      value: parseValue(draft),
      ...only,
    });
    onDone(`Version ${created.version} written`);
  };
  return (
    <Dialog
      title={`Write new version of ${secret.name}`}
      submitLabel="Write"
      onSubmit={submit}
      onClose={onClose}
    >
      <ValueFields draft={draft} onChange={setDraft} />
      <TextField
        label="Check-and-set version"
        type="number"
        min="0"
        hint="The write fails if another version is current. Leave empty to skip the check."
        value={cas}
        onChange={setCas}
      />
    </Dialog>
  );
}

/** Parses the metadata field. Throws `ApiError`, which the dialog shows. */
export function metadataFrom(text: string): Record<string, string> {
  try {
    return parseKeyValues(text);
  } catch (error) {
    throw new ApiError(0, "metadata", error instanceof Error ? error.message : "unreadable");
  }
}
