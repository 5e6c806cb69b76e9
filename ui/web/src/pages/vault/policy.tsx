import { useState } from "preact/hooks";
import { put, remove } from "../../lib/api";
import { FIRST, shown, useJudged } from "../../lib/draft";
import { useGet } from "../../lib/hooks";
import { navigate, type PageProps, query } from "../../lib/router";
import type { PolicyDocument } from "../../lib/types";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Code, Diff } from "../../parts/code";
import { Dialog } from "../../parts/dialog";
import { Draft, Verdict } from "../../parts/draft";
import { Page } from "../../parts/page";
import { Empty, Failure, Loading } from "../../parts/states";
import { toast } from "../../parts/toasts";
import { Replay } from "./policy/replay";
import { Trial } from "./policy/trial";
import "./vault.css";

const ROOT = "root";
const above = { href: "/policies", title: "Policies" };

/** One policy: read, edited, tried out. */
export default function PolicyPage({ params: { name = "" } }: PageProps) {
  const isNew = query.value.has("new");
  const found = useGet<PolicyDocument>(
    isNew || name === ROOT ? null : `policies/${encodeURIComponent(name)}`,
  );
  if (name === ROOT)
    return (
      <Page title={name} above={above}>
        <Empty icon="policy" title="Built in: it allows everything">
          It is neither changed nor deleted. Who holds it is under <a href="/users">Users</a>.
        </Empty>
      </Page>
    );
  if (isNew) return <Write name={name} before="" />;
  if (found.error?.status === 404)
    return (
      <Page title={name} above={above}>
        <Empty icon="policy" title="There is no such policy">
          <a href={`/policies/${encodeURIComponent(name)}?new=1`}>Write it</a>
        </Empty>
      </Page>
    );
  if (found.error) return <Failure error={found.error} retry={found.reload} />;
  if (!found.data) return <Loading what={`Loading ${name}`} />;
  if (found.data.source) return <Central name={name} document={found.data} />;
  return <Write key={name} name={name} before={shown(found.data)} />;
}

/** One that the control plane has sent. */
function Central({ name, document }: { name: string; document: PolicyDocument }) {
  const { source: _, ...rest } = document;
  return (
    <Page title={name} above={above}>
      <div class="stack">
        <p>This policy is of the control plane. It is changed there.</p>
        <Card title="Document">
          <Code label={`Document of ${name}`} text={shown(rest)} />
        </Card>
        <Trial policy={name} />
      </div>
    </Page>
  );
}

function Write({ name, before: first }: { name: string; before: string }) {
  const path = `policies/${encodeURIComponent(name)}`;
  const [before, setBefore] = useState(first);
  const [text, setText] = useState(first || shown(FIRST));
  const [asks, setAsks] = useState<"save" | "delete" | null>(null);
  const judged = useJudged(`${path}/validate`, text);
  const save = async () => {
    await put(path, judged.document);
    setBefore(text);
    toast(`${name} is in force`);
    if (query.peek().has("new")) navigate(`/${path}`, { replace: true });
  };
  return (
    <Page
      title={name}
      above={above}
      state={<Verdict judged={judged} same={text === before && "In force"} />}
      actions={
        first && (
          <Button kind="danger" onClick={() => setAsks("delete")}>
            Delete…
          </Button>
        )
      }
    >
      <div class="stack">
        <Card title="Document">
          <Draft
            label={`Document of ${name}`}
            text={text}
            before={before}
            judged={judged}
            hint="JSON, checked as you type. It is in force as soon as it is saved."
            change={setText}
            save={() => setAsks("save")}
          />
        </Card>
        <Replay name={name} document={judged.document} />
        <Trial policy={name} draft={judged.document} />
      </div>
      {asks === "save" && (
        <Dialog title={`Save ${name}`} action="Save" act={save} close={() => setAsks(null)}>
          <Diff label="What changes" before={before} after={text} />
        </Dialog>
      )}
      {asks === "delete" && <Delete name={name} close={() => setAsks(null)} />}
    </Page>
  );
}

function Delete({ name, close }: { name: string; close: () => void }) {
  const act = async () => {
    await remove(`policies/${encodeURIComponent(name)}`);
    toast(`${name} is deleted`);
    navigate("/policies");
  };
  return (
    <Dialog title={`Delete ${name}`} action="Delete" danger act={act} close={close}>
      <p>It is out of force at once, for everybody who has it.</p>
    </Dialog>
  );
}
