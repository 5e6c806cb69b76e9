import { useState } from "preact/hooks";
import { listed } from "../../../agent/pairs";
import type { Key } from "../../../agent/wire";
import { post, remove } from "../../../lib/api";
import { count } from "../../../lib/format";
import { State } from "../../../parts/badge";
import { Button } from "../../../parts/button";
import { Card } from "../../../parts/card";
import { Copy } from "../../../parts/copy";
import { Dialog } from "../../../parts/dialog";
import { Field } from "../../../parts/field";
import { Empty } from "../../../parts/states";
import { type Column, Table } from "../../../parts/table";
import { timeColumn } from "../../../parts/timecolumn";
import { toast } from "../../../parts/toasts";

interface KeysProps {
  /** The user's name. */
  user: string;
  keys: readonly Key[];
  done: () => void;
}

/** The API keys of a user; a new one is shown once. */
export function Keys({ user, keys, done }: KeysProps) {
  const [asks, setAsks] = useState(false);
  const [ends, setEnds] = useState<Key | null>(null);
  const [made, setMade] = useState("");
  return (
    <Card
      title="API keys"
      flush
      aside={
        <Button icon="key" onClick={() => setAsks(true)}>
          New key…
        </Button>
      }
    >
      <Table
        label="API keys"
        columns={columns(setEnds)}
        rows={keys}
        keyOf={({ id }) => id}
        height="20rem"
        empty={<Empty icon="key" title="No keys" />}
      />
      {asks && (
        <Create
          user={user}
          close={() => setAsks(false)}
          made={text => {
            setMade(text);
            done();
          }}
        />
      )}
      {made && <Once text={made} close={() => setMade("")} />}
      {ends && <Revoke of={ends} close={() => setEnds(null)} done={done} />}
    </Card>
  );
}

function columns(revoke: (key: Key) => void): Column<Key>[] {
  return [
    { name: "name", title: "Key", cell: row => row.name, by: row => row.name },
    { name: "status", title: "Status", width: "7.5rem", cell: row => <State of={standing(row)} /> },
    {
      name: "permissions",
      title: "Cut down to",
      width: "14rem",
      wide: true,
      cell: row => <span title={cut(row)}>{cut(row)}</span>,
    },
    {
      name: "uses",
      title: "Uses",
      width: "5rem",
      number: true,
      wide: true,
      cell: row => count(row.uses),
      by: row => row.uses,
    },
    timeColumn("used", "Last used", row => row.last_used, { wide: true, sorts: true }),
    {
      name: "end",
      title: "Action",
      width: "6.5rem",
      number: true,
      cell: row =>
        row.status === "active" && (
          <Button kind="quiet" aria-label={`Revoke ${row.name}`} onClick={() => revoke(row)}>
            Revoke…
          </Button>
        ),
    },
  ];
}

function standing(key: Key): string {
  const isOver = key.expires_at && Date.parse(key.expires_at) <= Date.now();
  return key.status === "active" && isOver ? "expired" : key.status;
}

function cut({ permissions }: Key): string {
  if (!permissions.length) return "–";
  return permissions
    .map(({ capabilities, paths }) => `${capabilities.join(", ")} on ${paths.join(", ")}`)
    .join("; ");
}

interface CreateProps {
  user: string;
  close: () => void;
  made: (text: string) => void;
}

function Create({ user, close, made }: CreateProps) {
  const [name, setName] = useState("");
  const [expires, setExpires] = useState("");
  const [capabilities, setCapabilities] = useState("");
  const [paths, setPaths] = useState("");
  const act = async () => {
    const cutTo = { capabilities: listed(capabilities), paths: listed(paths) };
    const isCut = cutTo.capabilities.length > 0 || cutTo.paths.length > 0;
    const body = {
      user,
      name,
      permissions: isCut ? [cutTo] : [],
      ...(expires.trim() ? { expires_at: expires.trim() } : {}),
    };
    const { key } = await post<Key>("keys", body);
    made(key ?? "");
  };
  return (
    <Dialog title={`New key for ${user}`} action="Make" act={act} close={close}>
      <Field
        label="Name"
        required
        autocomplete="off"
        hint="What it is for"
        value={name}
        change={setName}
      />
      <Field
        label="Expires"
        hint="Such as 2027-01-31T00:00:00Z; empty: never"
        value={expires}
        change={setExpires}
      />
      <Field
        label="Capabilities"
        hint="To cut it down: read, list, … Empty: all that the user has"
        value={capabilities}
        change={setCapabilities}
      />
      <Field label="Paths" hint="To cut it down: secret/app/*" value={paths} change={setPaths} />
    </Dialog>
  );
}

function Once({ text, close }: { text: string; close: () => void }) {
  return (
    <Dialog title="The new key" action="It is kept" act={async () => {}} close={close}>
      <p>This is the only time that it is shown. Keep it where its user finds it.</p>
      <div class="once line">
        <span>{text}</span>
        <Copy text={text} label="Copy the key" />
      </div>
    </Dialog>
  );
}

interface RevokeProps {
  of: Key;
  close: () => void;
  done: () => void;
}

function Revoke({ of, close, done }: RevokeProps) {
  const act = async () => {
    await remove(`keys/${of.id}`);
    toast(`${of.name} is revoked`);
    done();
  };
  return (
    <Dialog title={`Revoke ${of.name}`} action="Revoke" danger act={act} close={close}>
      <p>Its next request is refused; sessions and streams that it opened end at once.</p>
    </Dialog>
  );
}
