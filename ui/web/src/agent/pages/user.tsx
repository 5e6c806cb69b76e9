import { useState } from "preact/hooks";
import { StatusBadge, TagList } from "../../components/badge";
import { Button } from "../../components/button";
import { Card, DescriptionList } from "../../components/card";
import { Dialog } from "../../components/dialog";
import { TextField } from "../../components/field";
import { Page } from "../../components/page";
import { Await } from "../../components/states";
import { RelativeTime, Timestamp } from "../../components/time";
import { showToast } from "../../components/toasts";
import { patch, remove } from "../../lib/api";
import { useGet } from "../../lib/hooks";
import { navigate, type PageProps } from "../../lib/router";
import type { ApiKey, User } from "../api-types";
import { parseList } from "../key-values";
import { ApiKeys } from "./user/keys";
import "./pages.css";

const PARENT = { href: "/users", title: "Users and keys" };

/** One user and the API keys of that user. */
export default function UserPage({ params: { id = "" } }: PageProps) {
  const result = useGet<User>(`users/${encodeURIComponent(id)}`);
  return <Await query={result}>{user => <UserView user={user} reload={result.reload} />}</Await>;
}

function UserView({ user, reload }: { user: User; reload: () => void }) {
  const [dialog, setDialog] = useState<"edit" | "turn" | "delete" | null>(null);
  const keys = useGet<{ keys: ApiKey[] }>("keys", { user: user.username });
  const close = () => setDialog(null);
  const done = (message: string) => {
    showToast(message);
    reload();
    keys.reload();
  };
  const isActive = user.status === "active";
  return (
    <Page
      title={user.username}
      parent={PARENT}
      state={<StatusBadge status={user.status} filled />}
      actions={
        <>
          <Button onClick={() => setDialog("edit")}>Edit…</Button>
          <Button onClick={() => setDialog("turn")}>{isActive ? "Disable…" : "Enable…"}</Button>
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
              ["Email", user.email || "–"],
              [
                "Roles",
                user.roles.length ? <TagList key="r" tags={user.roles} max={20} /> : "None",
              ],
              [
                "Policies",
                user.policies.length ? <TagList key="p" tags={user.policies} max={20} /> : "None",
              ],
              ["Created", <Timestamp key="made" at={user.created_at} />],
              ["Changed", <RelativeTime key="changed" at={user.updated_at} />],
            ]}
          />
        </Card>
        <Await query={keys}>
          {found => <ApiKeys user={user.username} keys={found.keys} onDone={keys.reload} />}
        </Await>
      </div>
      {dialog === "edit" && <EditUser user={user} onClose={close} onDone={done} />}
      {dialog === "turn" && <ToggleUser user={user} onClose={close} onDone={done} />}
      {dialog === "delete" && <DeleteUser user={user} onClose={close} />}
    </Page>
  );
}

interface ActionDialogProps {
  user: User;
  onClose: () => void;
  onDone: (message: string) => void;
}

function EditUser({ user, onClose, onDone }: ActionDialogProps) {
  const [email, setEmail] = useState(user.email);
  const [roles, setRoles] = useState(user.roles.join(", "));
  const [policies, setPolicies] = useState(user.policies.join(", "));
  const submit = async () => {
    const body = { email, roles: parseList(roles), policies: parseList(policies) };
    await patch(`users/${user.id}`, body);
    onDone("User saved. Changes apply from the next request.");
  };
  return (
    <Dialog title={`Edit ${user.username}`} submitLabel="Save" onSubmit={submit} onClose={onClose}>
      <TextField label="Email" type="email" value={email} onChange={setEmail} />
      <TextField
        label="Roles"
        hint="Separate names with commas."
        value={roles}
        onChange={setRoles}
      />
      <TextField
        label="Policies"
        hint="Separate names with commas."
        value={policies}
        onChange={setPolicies}
      />
    </Dialog>
  );
}

function ToggleUser({ user, onClose, onDone }: ActionDialogProps) {
  const isActive = user.status === "active";
  const submit = async () => {
    await patch(`users/${user.id}`, { status: isActive ? "disabled" : "active" });
    onDone(isActive ? `${user.username} disabled` : `${user.username} enabled`);
  };
  return (
    <Dialog
      title={isActive ? `Disable ${user.username}?` : `Enable ${user.username}?`}
      submitLabel={isActive ? "Disable" : "Enable"}
      danger={isActive}
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        {isActive
          ? "Every request of the user is denied. Tokens and sessions end. API keys work again once the user is enabled."
          : "API keys work again. Ended tokens do not come back."}
      </p>
    </Dialog>
  );
}

function DeleteUser({ user, onClose }: Omit<ActionDialogProps, "onDone">) {
  const submit = async () => {
    await remove(`users/${user.id}`);
    showToast(`${user.username} deleted`);
    navigate("/users");
  };
  return (
    <Dialog
      title={`Delete ${user.username}?`}
      submitLabel="Delete"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        This also deletes the user's keys, tokens and sessions. The audit log keeps what they did.
      </p>
    </Dialog>
  );
}
