import { useState } from "preact/hooks";
import { Dialog } from "../../../components/dialog";
import { SelectField, TextArea, TextField } from "../../../components/field";
import { patch } from "../../../lib/api";
import type { SecretDetails } from "../../api-types";
import { formatKeyValues, mergePatch, parseList } from "../../key-values";
import { secretPath } from "../../secret-paths";
import { metadataFrom } from "./value-dialogs";

interface EditMetadataProps {
  info: SecretDetails;
  onClose: () => void;
  onDone: (message: string) => void;
}

/** Edits metadata, tags and settings of a secret. The value is not touched. */
export function EditMetadata({ info, onClose, onDone }: EditMetadataProps) {
  const { secret } = info;
  const [tags, setTags] = useState(secret.tags.join(", "));
  const [metadata, setMetadata] = useState(formatKeyValues(secret.metadata));
  const [expires, setExpires] = useState(secret.expires_at ?? "");
  const [most, setMost] = useState(`${info.max_versions}`);
  const [cas, setCas] = useState(info.cas_required ? "yes" : "no");
  const submit = async () => {
    await patch(secretPath("metadata", secret.name), {
      tags: parseList(tags),
      metadata: mergePatch(secret.metadata, metadataFrom(metadata)),
      expires_at: expires.trim(),
      max_versions: Number(most),
      cas_required: cas === "yes",
    });
    onDone("Metadata saved");
  };
  return (
    <Dialog
      title={`Metadata of ${secret.name}`}
      submitLabel="Save"
      onSubmit={submit}
      onClose={onClose}
    >
      <TextField label="Tags" hint="Separate tags with commas." value={tags} onChange={setTags} />
      <TextArea
        label="Metadata"
        hint="One entry per line, key: value. Removing a line removes its key. Existing versions keep their metadata."
        rows={4}
        value={metadata}
        onChange={setMetadata}
      />
      <TextField
        label="Expires"
        hint="For example 2027-01-31T00:00:00Z. Leave empty for never."
        value={expires}
        onChange={setExpires}
      />
      <TextField
        label="Maximum versions"
        type="number"
        min="0"
        hint="0 uses the mount's default."
        value={most}
        onChange={setMost}
      />
      <SelectField
        label="Require check-and-set"
        value={cas}
        onChange={setCas}
        options={[
          ["no", "No"],
          ["yes", "Yes"],
        ]}
      />
    </Dialog>
  );
}
