import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { CopyButton } from "../../../components/copy-button";
import { Dialog } from "../../../components/dialog";
import { TextField } from "../../../components/field";
import { EmptyState } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { timeColumn } from "../../../components/time-column";
import { showToast } from "../../../components/toasts";
import { post, remove } from "../../../lib/api";
import { formatCount } from "../../../lib/format";
import type { ApiKey } from "../../api-types";
import { parseList } from "../../key-values";

interface KeysProps {
  /** The user's name. */
  user: string;
  keys: readonly ApiKey[];
  onDone: () => void;
}

/** The API keys of a user. A new key is shown once. */
export function ApiKeys({ user, keys, onDone }: KeysProps) {
  const [dialog, setDialog] = useState(false);
  const [ends, setEnds] = useState<ApiKey | null>(null);
  const [created, setCreated] = useState("");
  return (
    <Card
      title="API keys"
      flush
      aside={
        <Button icon="key" onClick={() => setDialog(true)}>
          Create key…
        </Button>
      }
    >
      <Table
        label="API keys"
        columns={columns(setEnds)}
        rows={keys}
        keyOf={({ id }) => id}
        height="20rem"
        empty={<EmptyState icon="key" title="No API keys yet" />}
      />
      {dialog && (
        <CreateKey
          user={user}
          onClose={() => setDialog(false)}
          onCreated={text => {
            setCreated(text);
            onDone();
          }}
        />
      )}
      {created && <NewKeyDialog text={created} onClose={() => setCreated("")} />}
      {ends && <RevokeKey apiKey={ends} onClose={() => setEnds(null)} onDone={onDone} />}
    </Card>
  );
}

function columns(revoke: (key: ApiKey) => void): Column<ApiKey>[] {
  return [
    { name: "name", title: "Key", cell: row => row.name, sortBy: row => row.name },
    {
      name: "status",
      title: "Status",
      width: "7.5rem",
      cell: row => <StatusBadge status={keyStatus(row)} />,
    },
    {
      name: "permissions",
      title: "Permissions",
      width: "14rem",
      wideOnly: true,
      cell: row => <span title={permissionText(row)}>{permissionText(row)}</span>,
    },
    {
      name: "uses",
      title: "Uses",
      width: "5rem",
      numeric: true,
      wideOnly: true,
      cell: row => formatCount(row.uses),
      sortBy: row => row.uses,
    },
    timeColumn("used", "Last used", row => row.last_used, { wideOnly: true, sortable: true }),
    {
      name: "end",
      title: "Action",
      width: "6.5rem",
      numeric: true,
      cell: row =>
        row.status === "active" && (
          <Button kind="quiet" aria-label={`Revoke ${row.name}`} onClick={() => revoke(row)}>
            Revoke…
          </Button>
        ),
    },
  ];
}

function keyStatus(key: ApiKey): string {
  const isOver = key.expires_at && Date.parse(key.expires_at) <= Date.now();
  return key.status === "active" && isOver ? "expired" : key.status;
}

function permissionText({ permissions }: ApiKey): string {
  if (!permissions.length) return "–";
  return permissions
    .map(({ capabilities, paths }) => `${capabilities.join(", ")} on ${paths.join(", ")}`)
    .join("; ");
}

interface CreateProps {
  user: string;
  onClose: () => void;
  onCreated: (text: string) => void;
}

function CreateKey({ user, onClose, onCreated }: CreateProps) {
  const [name, setName] = useState("");
  const [expires, setExpires] = useState("");
  const [capabilities, setCapabilities] = useState("");
  const [paths, setPaths] = useState("");
  const submit = async () => {
    const cutTo = { capabilities: parseList(capabilities), paths: parseList(paths) };
    const isCut = cutTo.capabilities.length > 0 || cutTo.paths.length > 0;
    const body = {
      user,
      name,
      permissions: isCut ? [cutTo] : [],
      ...(expires.trim() ? { expires_at: expires.trim() } : {}),
    };
    const { key } = await post<ApiKey>("keys", body);
    onCreated(key ?? "");
  };
  return (
    <Dialog
      title={`Create API key for ${user}`}
      submitLabel="Create"
      onSubmit={submit}
      onClose={onClose}
    >
      <TextField
        label="Name"
        required
        autocomplete="off"
        hint="What the key is for."
        value={name}
        onChange={setName}
      />
      <TextField
        label="Expires"
        hint="For example 2027-01-31T00:00:00Z. Leave empty for never."
        value={expires}
        onChange={setExpires}
      />
      <TextField
        label="Capabilities"
        hint="For example read, list. Leave empty for all capabilities of the user."
        value={capabilities}
        onChange={setCapabilities}
      />
      <TextField
        label="Paths"
        hint="For example secret/app/*. Leave empty for all paths of the user."
        value={paths}
        onChange={setPaths}
      />
    </Dialog>
  );
}

function NewKeyDialog({ text, onClose }: { text: string; onClose: () => void }) {
  return (
    <Dialog
      title="API key created"
      submitLabel="I have saved it"
      onSubmit={async () => {}}
      onClose={onClose}
    >
      <p>The key is shown only once. Save it now.</p>
      <div class="new-key line">
        <span>{text}</span>
        <CopyButton text={text} label="Copy the key" />
      </div>
    </Dialog>
  );
}

interface RevokeProps {
  apiKey: ApiKey;
  onClose: () => void;
  onDone: () => void;
}

function RevokeKey({ apiKey, onClose, onDone }: RevokeProps) {
  const submit = async () => {
    await remove(`keys/${apiKey.id}`);
    showToast(`${apiKey.name} revoked`);
    onDone();
  };
  return (
    <Dialog
      title={`Revoke ${apiKey.name}?`}
      submitLabel="Revoke"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p>Its next request is denied. Sessions and streams opened with it end immediately.</p>
    </Dialog>
  );
}
