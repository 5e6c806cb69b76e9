import { useState } from "preact/hooks";
import { StatusBadge, TagList } from "../../components/badge";
import { Button } from "../../components/button";
import { Card, DescriptionList } from "../../components/card";
import { Dialog } from "../../components/dialog";
import { TextField } from "../../components/field";
import { Page } from "../../components/page";
import { Await, EmptyState } from "../../components/states";
import { type Column, Table } from "../../components/table";
import { RelativeTime, Timestamp } from "../../components/time";
import { showToast } from "../../components/toasts";
import { ApiError, get, patch, post, remove } from "../../lib/api";
import { useGet } from "../../lib/hooks";
import { navigate, type PageProps } from "../../lib/router";
import type { Alias, Entity, EntityLine, SessionEntry } from "../api-types";
import { parseList } from "../key-values";
import { aliasText, entityStatus } from "./entities";
import { SessionTable } from "./sessions";
import "./pages.css";

const PARENT = { href: "/entities", title: "Entities" };
type DialogName = "edit" | "turn" | "merge" | "delete";

/** One entity: its aliases, groups, policies and sessions. */
export default function EntityPage({ params: { id = "" } }: PageProps) {
  const result = useGet<Entity>(`entities/${encodeURIComponent(id)}`);
  return (
    <Await query={result}>{entity => <EntityView entity={entity} reload={result.reload} />}</Await>
  );
}

function EntityView({ entity, reload }: { entity: Entity; reload: () => void }) {
  const [dialog, setDialog] = useState<DialogName | null>(null);
  const place = `users/${encodeURIComponent(entity.id)}/sessions`;
  const sessions = useGet<{ sessions: SessionEntry[] }>(place);
  const close = () => setDialog(null);
  const done = (message: string) => {
    showToast(message);
    reload();
    sessions.reload();
  };
  return (
    <Page
      title={entity.name}
      parent={PARENT}
      state={<StatusBadge status={entityStatus(entity)} filled />}
      actions={
        <>
          <Button onClick={() => setDialog("edit")}>Edit…</Button>
          <Button onClick={() => setDialog("merge")}>Merge…</Button>
          <Button onClick={() => setDialog("turn")}>
            {entity.disabled ? "Enable…" : "Disable…"}
          </Button>
          <Button kind="danger" onClick={() => setDialog("delete")}>
            Delete…
          </Button>
        </>
      }
    >
      <div class="stack">
        <Card title="About">
          <DescriptionList
            rows={[
              ["Policies", <Names key="p" names={entity.policies} />],
              ["Roles", <Names key="r" names={entity.roles} />],
              ["Groups", <GroupLinks key="g" ids={entity.groups} />],
              ["Inherited groups", <GroupLinks key="i" ids={entity.inherited_groups} />],
              [
                "Metadata",
                <Names
                  key="m"
                  names={Object.entries(entity.metadata).map(([name, text]) => `${name}=${text}`)}
                />,
              ],
              ["Created", <Timestamp key="made" at={entity.created_at} />],
              ["Changed", <RelativeTime key="changed" at={entity.updated_at} />],
            ]}
          />
        </Card>
        <Aliases entity={entity} onDone={done} />
        <Await query={sessions}>
          {found => (
            <SessionTable
              title="Sessions"
              place={place}
              rows={found.sessions}
              onDone={sessions.reload}
            />
          )}
        </Await>
      </div>
      {dialog === "edit" && <EditEntity entity={entity} onClose={close} onDone={done} />}
      {dialog === "turn" && <ToggleEntity entity={entity} onClose={close} onDone={done} />}
      {dialog === "merge" && <MergeEntity entity={entity} onClose={close} onDone={done} />}
      {dialog === "delete" && <DeleteEntity entity={entity} onClose={close} />}
    </Page>
  );
}

function Names({ names }: { names: readonly string[] }) {
  return names.length ? <TagList tags={names} max={20} /> : <>None</>;
}

function GroupLinks({ ids }: { ids: readonly string[] }) {
  if (!ids.length) return <>None</>;
  return (
    <>
      {ids.map(id => (
        <a key={id} class="mono" href={`/groups/${id}`}>
          {`${id} `}
        </a>
      ))}
    </>
  );
}

interface ActionDialogProps {
  entity: Entity;
  onClose: () => void;
  onDone: (message: string) => void;
}

function Aliases({ entity, onDone }: Omit<ActionDialogProps, "onClose">) {
  const [ends, setEnds] = useState<Alias | null>(null);
  const columns: Column<Alias>[] = [
    { name: "name", title: "Name at the source", cell: row => row.name, sortBy: row => row.name },
    {
      name: "mount",
      title: "Auth mount",
      width: "14rem",
      cell: row => `${row.mount_path} (${row.mount_type})`,
    },
    {
      name: "end",
      title: "Action",
      width: "6.5rem",
      numeric: true,
      cell: row => (
        <Button
          kind="quiet"
          aria-label={`Delete the alias ${aliasText(row)}`}
          onClick={() => setEnds(row)}
        >
          Delete…
        </Button>
      ),
    },
  ];
  const submit = async (alias: Alias) => {
    await remove(`aliases/${alias.id}`);
    onDone("Alias deleted");
  };
  return (
    <Card title="Aliases" flush>
      <Table
        label="Aliases"
        columns={columns}
        rows={entity.aliases}
        keyOf={({ id }) => id}
        empty={<EmptyState icon="link" title="No aliases" />}
      />
      {ends && (
        <Dialog
          title={`Delete the alias ${ends.name}?`}
          submitLabel="Delete"
          danger
          onSubmit={() => submit(ends)}
          onClose={() => setEnds(null)}
        >
          <p>Whoever logs in there by this name is another entity from then on.</p>
        </Dialog>
      )}
    </Card>
  );
}

function EditEntity({ entity, onClose, onDone }: ActionDialogProps) {
  const [name, setName] = useState(entity.name);
  const [policies, setPolicies] = useState(entity.policies.join(", "));
  const submit = async () => {
    await patch(`entities/${entity.id}`, { name, policies: parseList(policies) });
    onDone("Entity saved. Changes apply from the next request.");
  };
  return (
    <Dialog title={`Edit ${entity.name}`} submitLabel="Save" onSubmit={submit} onClose={onClose}>
      <TextField label="Name" required value={name} onChange={setName} />
      <TextField
        label="Policies"
        hint="Separate names with commas."
        value={policies}
        onChange={setPolicies}
      />
    </Dialog>
  );
}

function ToggleEntity({ entity, onClose, onDone }: ActionDialogProps) {
  const { disabled, name } = entity;
  const submit = async () => {
    await patch(`entities/${entity.id}`, { disabled: !disabled });
    onDone(disabled ? `${name} enabled` : `${name} disabled`);
  };
  return (
    <Dialog
      title={disabled ? `Enable ${name}?` : `Disable ${name}?`}
      submitLabel={disabled ? "Enable" : "Disable"}
      danger={!disabled}
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        {disabled
          ? "Logins and API keys work again. Ended tokens do not come back."
          : "Every request and login of the entity is denied. Tokens and sessions end."}
      </p>
    </Dialog>
  );
}

/** Another entity becomes this one. Where both have an alias of one mount, this entity's stays. */
function MergeEntity({ entity, onClose, onDone }: ActionDialogProps) {
  const [name, setName] = useState("");
  const submit = async () => {
    const query = { name: name.trim() };
    const { entities } = await get<{ entities: EntityLine[] }>("entities", { query });
    if (!entities.length) throw new ApiError(404, "entity_not_found", `no entity ${name}`);
    const merge = entities.map(({ id }) => id);
    const keep = entity.aliases.map(({ id }) => id);
    await post("entities-merge", { id: entity.id, merge, keep });
    onDone(`${name} merged into ${entity.name}`);
  };
  return (
    <Dialog
      title={`Merge into ${entity.name}`}
      submitLabel="Merge"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        Aliases, policies, roles and groups of the other entity come here. It is deleted with its
        API keys, and its tokens end. This cannot be undone.
      </p>
      <TextField label="Name of the other entity" required value={name} onChange={setName} />
    </Dialog>
  );
}

function DeleteEntity({ entity, onClose }: Omit<ActionDialogProps, "onDone">) {
  const submit = async () => {
    await remove(`entities/${entity.id}`);
    showToast(`${entity.name} deleted`);
    navigate("/entities");
  };
  return (
    <Dialog
      title={`Delete ${entity.name}?`}
      submitLabel="Delete"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        This also deletes its aliases, keys, tokens and sessions. The audit log keeps what it did.
      </p>
    </Dialog>
  );
}
