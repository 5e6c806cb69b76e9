import { useState } from "preact/hooks";
import { api, folderOf, foldersOf } from "../../agent/paths";
import type { Info } from "../../agent/wire";
import { remove } from "../../lib/api";
import { count, duration } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { navigate, query } from "../../lib/router";
import { State, Tags } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card, Facts } from "../../parts/card";
import { Dialog } from "../../parts/dialog";
import { Page } from "../../parts/page";
import { Await, Empty } from "../../parts/states";
import { Moment, TimeAgo } from "../../parts/time";
import { toast } from "../../parts/toasts";
import { Describe } from "./secret/describe";
import { Value } from "./secret/value";
import { Versions } from "./secret/versions";
import { Update } from "./secret/write";
import "./vault.css";

type Asked = "update" | "describe" | "delete" | "purge" | null;

/** One secret: what is known of it, its versions, and on demand its value. */
export default function SecretPage() {
  const name = query.value.get("name") ?? "";
  const found = useGet<Info>(name ? api("metadata", name) : null);
  if (!name || found.error?.status === 404)
    return (
      <Page title={name || "Secret"} above={{ href: "/secrets", title: "Secrets" }}>
        <Empty icon="lock" title="There is no such secret">
          It may have been erased, or you may not see it.
        </Empty>
      </Page>
    );
  return <Await of={found}>{info => <One key={name} info={info} reload={found.reload} />}</Await>;
}

function One({ info, reload }: { info: Info; reload: () => void }) {
  const [asks, setAsks] = useState<Asked>(null);
  const { secret, versions } = info;
  const close = () => setAsks(null);
  const done = (said: string) => {
    toast(said);
    reload();
  };
  const folder = foldersOf(secret.name).at(-1) ?? "";
  return (
    <Page
      title={secret.name}
      above={{ href: folderOf(folder), title: folder || "Secrets" }}
      state={<State of={secret.status} filled />}
      actions={
        <>
          <Button onClick={() => setAsks("describe")}>Edit metadata…</Button>
          <Button kind="primary" onClick={() => setAsks("update")}>
            New version…
          </Button>
          {secret.status === "active" && (
            <Button onClick={() => setAsks("delete")}>Delete current…</Button>
          )}
          <Button kind="danger" onClick={() => setAsks("purge")}>
            Erase…
          </Button>
        </>
      }
    >
      <div class="stack">
        {secret.status === "active" && (
          <Value key={secret.version} name={secret.name} version={secret.version} />
        )}
        <div class="columns">
          <About info={info} />
          <Card title="Metadata and tags">
            <div class="stack">
              {secret.tags.length > 0 && <Tags of={secret.tags} most={20} />}
              <Metadata of={secret.metadata} />
            </div>
          </Card>
        </div>
        <Versions secret={secret} versions={versions} done={done} />
      </div>
      {asks === "update" && <Update secret={secret} close={close} done={done} />}
      {asks === "describe" && <Describe info={info} close={close} done={done} />}
      {asks === "delete" && <Delete name={secret.name} close={close} done={done} />}
      {asks === "purge" && <Purge name={secret.name} close={close} />}
    </Page>
  );
}

function About({ info }: { info: Info }) {
  const { secret } = info;
  return (
    <Card title="About">
      <Facts
        rows={[
          ["Current version", secret.version || "none"],
          ["Made", <Moment key="made" at={secret.created_at} />],
          ["Changed", <TimeAgo key="changed" at={secret.updated_at} />],
          ["First written by", secret.created_by],
          ["Expires", secret.expires_at ? <Moment key="end" at={secret.expires_at} /> : "never"],
          ["Values read", count(info.access_count)],
          ["Last read", info.last_accessed ? <TimeAgo key="r" at={info.last_accessed} /> : "never"],
          ["Versions kept", info.max_versions || "as its mount says"],
          ["Needs the version before", info.cas_required ? "yes" : "no"],
          [
            "A version ends after",
            info.delete_version_after_seconds > 0
              ? duration(info.delete_version_after_seconds)
              : "–",
          ],
        ]}
      />
    </Card>
  );
}

function Metadata({ of }: { of: Record<string, string> }) {
  const rows = Object.entries(of);
  if (!rows.length) return <p class="muted">No metadata.</p>;
  return <Facts rows={rows} />;
}

interface AskProps {
  name: string;
  close: () => void;
  done: (said: string) => void;
}

function Delete({ name, close, done }: AskProps) {
  const act = async () => {
    await remove(api("secrets", name));
    done("The current version is deleted. Undelete brings it back.");
  };
  return (
    <Dialog title="Delete the current version" action="Delete" danger act={act} close={close}>
      <p>
        <b>{name}</b> is not served any more until the version is undeleted or another is written.
      </p>
    </Dialog>
  );
}

function Purge({ name, close }: Omit<AskProps, "done">) {
  const act = async () => {
    await remove(api("metadata", name));
    toast(`${name} is erased`);
    navigate("/secrets");
  };
  return (
    <Dialog title="Erase this secret" action="Erase for good" danger act={act} close={close}>
      <p>
        All versions of <b>{name}</b> and what is known of it are erased. Nothing brings them back.
      </p>
    </Dialog>
  );
}
