import { useState } from "preact/hooks";
import { TagList } from "../../components/badge";
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
import type { EntityLine, GroupDetails } from "../api-types";
import { parseList } from "../key-values";
import { aliasText } from "./entities";
import "./pages.css";

const PARENT = { href: "/groups", title: "Groups" };

/** One group: its policies and members. */
export default function GroupPage({ params: { id = "" } }: PageProps) {
  const result = useGet<GroupDetails>(`groups/${encodeURIComponent(id)}`);
  return (
    <Await query={result}>{found => <GroupView found={found} reload={result.reload} />}</Await>
  );
}

function GroupView({ found, reload }: { found: GroupDetails; reload: () => void }) {
  const [dialog, setDialog] = useState<"edit" | "delete" | null>(null);
  const { group, alias } = found;
  const close = () => setDialog(null);
  const done = (message: string) => {
    showToast(message);
    reload();
  };
  return (
    <Page
      title={group.name}
      parent={PARENT}
      actions={
        <>
          <Button onClick={() => setDialog("edit")}>Edit…</Button>
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
              ["Type", group.type === "external" ? "External" : "Internal"],
              ...(alias ? [["Alias", aliasText(alias)] as [string, string]] : []),
              [
                "Policies",
                group.policies.length ? <TagList key="p" tags={group.policies} max={20} /> : "None",
              ],
              ["Groups in it", <GroupIds key="g" ids={group.groups} />],
              ["In groups", <GroupIds key="i" ids={group.parents} />],
              ["Created", <Timestamp key="made" at={group.created_at} />],
              ["Changed", <RelativeTime key="changed" at={group.updated_at} />],
            ]}
          />
        </Card>
        <Members found={found} onDone={done} />
      </div>
      {dialog === "edit" && <EditGroup found={found} onClose={close} onDone={done} />}
      {dialog === "delete" && <DeleteGroup found={found} onClose={close} />}
    </Page>
  );
}

function GroupIds({ ids }: { ids: readonly string[] }) {
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
  found: GroupDetails;
  onClose: () => void;
  onDone: (message: string) => void;
}

function Members({ found, onDone }: Omit<ActionDialogProps, "onClose">) {
  const [dialog, setDialog] = useState(false);
  const [ends, setEnds] = useState("");
  const { group, members } = found;
  const isInternal = group.type === "internal"; // the source decides on the members of the others
  const columns: Column<string>[] = [
    {
      name: "id",
      title: "Entity",
      cell: id => (
        <a class="mono" href={`/entities/${id}`}>
          {id}
        </a>
      ),
    },
    {
      name: "end",
      title: "Action",
      width: "7rem",
      numeric: true,
      cell: id =>
        isInternal && (
          <Button kind="quiet" aria-label={`Remove ${id}`} onClick={() => setEnds(id)}>
            Remove…
          </Button>
        ),
    },
  ];
  const removeMember = async () => {
    await post(`groups/${group.id}/members`, { remove: [ends] });
    onDone("Member removed");
  };
  return (
    <Card
      title="Members"
      flush
      aside={
        isInternal && (
          <Button icon="people" onClick={() => setDialog(true)}>
            Add member…
          </Button>
        )
      }
    >
      <Table
        label="Members"
        columns={columns}
        rows={members}
        keyOf={id => id}
        empty={<EmptyState icon="people" title="No members yet" />}
      />
      {dialog && <AddMember found={found} onClose={() => setDialog(false)} onDone={onDone} />}
      {ends && (
        <Dialog
          title={`Remove ${ends}?`}
          submitLabel="Remove"
          danger
          onSubmit={removeMember}
          onClose={() => setEnds("")}
        >
          <p>The group's policies no longer apply to it from its next request.</p>
        </Dialog>
      )}
    </Card>
  );
}

function AddMember({ found, onClose, onDone }: ActionDialogProps) {
  const [name, setName] = useState("");
  const submit = async () => {
    const query = { name: name.trim() };
    const { entities } = await get<{ entities: EntityLine[] }>("entities", { query });
    if (!entities.length) throw new ApiError(404, "entity_not_found", `no entity ${name}`);
    await post(`groups/${found.group.id}/members`, { add: entities.map(({ id }) => id) });
    onDone("Member added");
  };
  return (
    <Dialog title="Add member" submitLabel="Add" onSubmit={submit} onClose={onClose}>
      <TextField label="Name of the entity" required value={name} onChange={setName} />
    </Dialog>
  );
}

function EditGroup({ found: { group }, onClose, onDone }: ActionDialogProps) {
  const [name, setName] = useState(group.name);
  const [policies, setPolicies] = useState(group.policies.join(", "));
  const submit = async () => {
    await patch(`groups/${group.id}`, { name, policies: parseList(policies) });
    onDone("Group saved. Changes apply from the next request.");
  };
  return (
    <Dialog title={`Edit ${group.name}`} submitLabel="Save" onSubmit={submit} onClose={onClose}>
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

function DeleteGroup({ found: { group }, onClose }: Omit<ActionDialogProps, "onDone">) {
  const submit = async () => {
    await remove(`groups/${group.id}`);
    showToast(`${group.name} deleted`);
    navigate("/groups");
  };
  return (
    <Dialog
      title={`Delete ${group.name}?`}
      submitLabel="Delete"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p>Its policies no longer apply to its members from their next request.</p>
    </Dialog>
  );
}
