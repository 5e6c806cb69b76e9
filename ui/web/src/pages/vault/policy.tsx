import { useMemo, useState } from "preact/hooks";
import { put, remove } from "../../lib/api";
import { useGet } from "../../lib/hooks";
import { navigate, type PageProps, query } from "../../lib/router";
import type { PolicyDocument } from "../../lib/types";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Diff } from "../../parts/code";
import { Dialog } from "../../parts/dialog";
import { Editor, type Fault } from "../../parts/editor";
import { Page } from "../../parts/page";
import { Empty, Failure, Loading } from "../../parts/states";
import { toast } from "../../parts/toasts";
import { faultsOf, syntax } from "./policy/draft";
import { Trial } from "./policy/trial";
import "./vault.css";

const FIRST: PolicyDocument = {
  description: "",
  rules: [{ effect: "allow", paths: ["secret/example/*"], capabilities: ["read", "list"] }],
};
const above = { href: "/policies", title: "Policies" };

/** One policy: read, edited, tried out. */
export default function PolicyPage({ params: { name = "" } }: PageProps) {
  const isNew = query.value.has("new");
  const found = useGet<PolicyDocument>(isNew ? null : `policies/${encodeURIComponent(name)}`);
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
  return <Write key={name} name={name} before={shown(found.data)} />;
}

function Write({ name, before: first }: { name: string; before: string }) {
  const [before, setBefore] = useState(first);
  const [text, setText] = useState(first || shown(FIRST));
  const [refused, setRefused] = useState<Fault[]>([]);
  const [asks, setAsks] = useState<"save" | "delete" | null>(null);
  const broken = useMemo(() => syntax(text), [text]);
  const faults = broken.length ? broken : refused;
  const type = (value: string) => {
    setText(value);
    setRefused([]);
  };
  const save = async () => {
    try {
      await put(`policies/${encodeURIComponent(name)}`, JSON.parse(text));
    } catch (error) {
      const found = faultsOf(error, text);
      if (!found.length) throw error;
      setRefused(found);
      return;
    }
    setBefore(text);
    toast(`${name} is in force`);
    if (query.peek().has("new"))
      navigate(`/policies/${encodeURIComponent(name)}`, { replace: true });
  };
  return (
    <Page
      title={name}
      above={above}
      state={<Standing faults={faults.length} same={text === before} />}
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
          <div class="stack">
            <Editor
              label={`Document of ${name}`}
              value={text}
              change={type}
              faults={faults}
              hint="JSON. The rules are checked when it is saved; it is in force at once."
            />
            <div class="line">
              <Button
                kind="primary"
                disabled={!!broken.length || text === before}
                onClick={() => setAsks("save")}
              >
                Save…
              </Button>
              <Button disabled={text === before} onClick={() => type(before || shown(FIRST))}>
                Discard
              </Button>
            </div>
          </div>
        </Card>
        <Trial policy={name} />
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

function Standing({ faults, same }: { faults: number; same: boolean }) {
  if (faults) return <State of="failed" label="Faulty" filled />;
  return same ? (
    <State of="done" label="In force" filled />
  ) : (
    <State of="pending" label="Not saved" filled />
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

function shown({ name: _, ...document }: PolicyDocument): string {
  return `${JSON.stringify(document, null, 2)}\n`;
}
