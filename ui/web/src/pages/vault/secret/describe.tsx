import { useState } from "preact/hooks";
import { change, lines, listed } from "../../../agent/pairs";
import { api } from "../../../agent/paths";
import type { Info } from "../../../agent/wire";
import { patch } from "../../../lib/api";
import { Dialog } from "../../../parts/dialog";
import { Area, Choice, Field } from "../../../parts/field";
import { pairs } from "./write";

interface DescribeProps {
  info: Info;
  close: () => void;
  done: (said: string) => void;
}

/** Metadata, tags and settings of a secret; its value stays. */
export function Describe({ info, close, done }: DescribeProps) {
  const { secret } = info;
  const [tags, setTags] = useState(secret.tags.join(", "));
  const [metadata, setMetadata] = useState(lines(secret.metadata));
  const [expires, setExpires] = useState(secret.expires_at ?? "");
  const [most, setMost] = useState(`${info.max_versions}`);
  const [cas, setCas] = useState(info.cas_required ? "yes" : "no");
  const act = async () => {
    await patch(api("metadata", secret.name), {
      tags: listed(tags),
      metadata: change(secret.metadata, pairs(metadata)),
      expires_at: expires.trim(),
      max_versions: Number(most),
      cas_required: cas === "yes",
    });
    done("The metadata is stored");
  };
  return (
    <Dialog title={`Metadata of ${secret.name}`} action="Store" act={act} close={close}>
      <Field label="Tags" hint="Several with commas" value={tags} change={setTags} />
      <Area
        label="Metadata"
        hint="A line each, key: value. A line that is taken away takes its key with it. Versions that are there keep what they were written with."
        rows={4}
        value={metadata}
        change={setMetadata}
      />
      <Field
        label="Expires"
        hint="Such as 2027-01-31T00:00:00Z; empty: never"
        value={expires}
        change={setExpires}
      />
      <Field
        label="Versions kept"
        type="number"
        min="0"
        hint="0: as its mount says"
        value={most}
        change={setMost}
      />
      <Choice
        label="A write has to name the version before"
        value={cas}
        change={setCas}
        options={[
          ["no", "No"],
          ["yes", "Yes"],
        ]}
      />
    </Dialog>
  );
}
