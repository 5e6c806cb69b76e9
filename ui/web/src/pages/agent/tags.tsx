import { useState } from "preact/hooks";
import { put } from "../../lib/api";
import { may, ofOrganization } from "../../lib/session";
import { Button } from "../../parts/button";
import { Dialog } from "../../parts/dialog";
import { Field } from "../../parts/field";
import { toast } from "../../parts/toasts";
import { split } from "../policy/targets";

/** What an agent is filed under; policies by tag follow. */
export function TagsAction({ vault, tags }: { vault: string; tags: readonly string[] }) {
  const [asks, setAsks] = useState(false);
  if (!may("operator")) return null;
  return (
    <>
      <Button onClick={() => setAsks(true)}>Tags…</Button>
      {asks && <Ask vault={vault} tags={tags} close={() => setAsks(false)} />}
    </>
  );
}

interface AskProps {
  vault: string;
  tags: readonly string[];
  close: () => void;
}

function Ask({ vault, tags, close }: AskProps) {
  const [text, setText] = useState(tags.join(" "));
  const act = async () => {
    await put(ofOrganization(`agents/${vault}/tags`), { tags: split(text) });
    toast(`The tags of ${vault} are changed`);
  };
  return (
    <Dialog title={`Tags of ${vault}`} action="Save" act={act} close={close}>
      <Field
        label="Tags"
        value={text}
        change={setText}
        autocomplete="off"
        hint="Words of a–z, 0–9 and ._:=/- with spaces between. Policies for a tag reach it, or leave it, at once."
      />
    </Dialog>
  );
}
