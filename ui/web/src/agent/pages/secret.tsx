import { useState } from "preact/hooks";
import { StatusBadge, TagList } from "../../components/badge";
import { Button } from "../../components/button";
import { Card, DescriptionList } from "../../components/card";
import { Dialog } from "../../components/dialog";
import { Page } from "../../components/page";
import { Await, EmptyState } from "../../components/states";
import { RelativeTime, Timestamp } from "../../components/time";
import { showToast } from "../../components/toasts";
import { remove } from "../../lib/api";
import { formatCount, formatDuration } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { navigate, query } from "../../lib/router";
import type { SecretDetails } from "../api-types";
import { rotationHref } from "../rotation-states";
import { folderHref, parentFolders, secretPath } from "../secret-paths";
import { SecretConsumers } from "./secret/consumers";
import { EditMetadata } from "./secret/edit-metadata";
import { SecretValue } from "./secret/value";
import { WriteVersion } from "./secret/value-dialogs";
import { SecretVersions } from "./secret/versions";
import "./pages.css";

type SecretAction = "update" | "describe" | "delete" | "purge" | null;

/** One secret: value on demand, metadata, versions. */
export default function SecretPage() {
  const name = query.value.get("name") ?? "";
  const result = useGet<SecretDetails>(name ? secretPath("metadata", name) : null);
  if (!name || result.error?.status === 404)
    return (
      <Page title={name || "Secret"} parent={{ href: "/secrets", title: "Secrets" }}>
        <EmptyState icon="lock" title="Secret not found">
          It was erased, or you do not have permission to see it.
        </EmptyState>
      </Page>
    );
  return (
    <Await query={result}>
      {info => <SecretView key={name} info={info} reload={result.reload} />}
    </Await>
  );
}

function SecretView({ info, reload }: { info: SecretDetails; reload: () => void }) {
  const [dialog, setDialog] = useState<SecretAction>(null);
  const { secret, versions } = info;
  const close = () => setDialog(null);
  const done = (message: string) => {
    showToast(message);
    reload();
  };
  const folder = parentFolders(secret.name).at(-1) ?? "";
  return (
    <Page
      title={secret.name}
      parent={{ href: folderHref(folder), title: folder || "Secrets" }}
      state={<StatusBadge status={secret.status} filled />}
      actions={
        <>
          <Button onClick={() => setDialog("describe")}>Edit metadata…</Button>
          <Button kind="primary" onClick={() => setDialog("update")}>
            Write new version…
          </Button>
          {secret.status === "active" && (
            <Button onClick={() => setDialog("delete")}>Delete current version…</Button>
          )}
          <Button kind="danger" onClick={() => setDialog("purge")}>
            Erase…
          </Button>
        </>
      }
    >
      <div class="stack">
        {secret.status === "active" && (
          <SecretValue key={secret.version} name={secret.name} version={secret.version} />
        )}
        <div class="columns">
          <SecretFacts info={info} />
          <Card title="Metadata and tags">
            <div class="stack">
              {secret.tags.length > 0 && <TagList tags={secret.tags} max={20} />}
              <Metadata metadata={secret.metadata} />
            </div>
          </Card>
        </div>
        <SecretVersions secret={secret} versions={versions} onDone={done} />
        <SecretConsumers key={secret.version} name={secret.name} />
      </div>
      {dialog === "update" && <WriteVersion secret={secret} onClose={close} onDone={done} />}
      {dialog === "describe" && <EditMetadata info={info} onClose={close} onDone={done} />}
      {dialog === "delete" && <DeleteCurrent name={secret.name} onClose={close} onDone={done} />}
      {dialog === "purge" && <EraseSecret name={secret.name} onClose={close} />}
    </Page>
  );
}

function SecretFacts({ info }: { info: SecretDetails }) {
  const { secret } = info;
  return (
    <Card title="About">
      <DescriptionList
        rows={[
          ["Current version", secret.version || "None"],
          ["Created", <Timestamp key="made" at={secret.created_at} />],
          ["Changed", <RelativeTime key="changed" at={secret.updated_at} />],
          ["Created by", secret.created_by],
          ["Expires", secret.expires_at ? <Timestamp key="end" at={secret.expires_at} /> : "Never"],
          ["Reads", formatCount(info.access_count)],
          [
            "Last read",
            info.last_accessed ? <RelativeTime key="r" at={info.last_accessed} /> : "Never",
          ],
          [
            "Rotation",
            <a key="rotation" href={rotationHref(secret.name)}>
              Policy and history
            </a>,
          ],
          ["Maximum versions", info.max_versions || "Mount default"],
          ["Require check-and-set", info.cas_required ? "Yes" : "No"],
          [
            "Delete versions after",
            info.delete_version_after_seconds > 0
              ? formatDuration(info.delete_version_after_seconds)
              : "–",
          ],
        ]}
      />
    </Card>
  );
}

function Metadata({ metadata }: { metadata: Record<string, string> }) {
  const rows = Object.entries(metadata);
  if (!rows.length) return <p class="muted">No metadata.</p>;
  return <DescriptionList rows={rows} />;
}

interface ActionDialogProps {
  name: string;
  onClose: () => void;
  onDone: (message: string) => void;
}

function DeleteCurrent({ name, onClose, onDone }: ActionDialogProps) {
  const submit = async () => {
    await remove(secretPath("secrets", name));
    onDone("Current version deleted. Undelete restores it.");
  };
  return (
    <Dialog
      title="Delete the current version?"
      submitLabel="Delete"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        <b>{name}</b> is not served until the version is undeleted or a new one is written.
      </p>
    </Dialog>
  );
}

function EraseSecret({ name, onClose }: Omit<ActionDialogProps, "onDone">) {
  const submit = async () => {
    await remove(secretPath("metadata", name));
    showToast(`${name} erased`);
    navigate("/secrets");
  };
  return (
    <Dialog
      title="Erase this secret?"
      submitLabel="Erase permanently"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        This erases all versions of <b>{name}</b> and its metadata. It cannot be undone.
      </p>
    </Dialog>
  );
}
