import { useState } from "preact/hooks";
import { listed } from "../../agent/pairs";
import type { Key, User } from "../../agent/wire";
import { patch, remove } from "../../lib/api";
import { useGet } from "../../lib/hooks";
import { navigate, type PageProps } from "../../lib/router";
import { State, Tags } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card, Facts } from "../../parts/card";
import { Dialog } from "../../parts/dialog";
import { Field } from "../../parts/field";
import { Page } from "../../parts/page";
import { Await } from "../../parts/states";
import { Moment, TimeAgo } from "../../parts/time";
import { toast } from "../../parts/toasts";
import { Keys } from "./user/keys";
import "./vault.css";

const above = { href: "/users", title: "Users and keys" };

/** One user and his keys. */
export default function UserPage({ params: { id = "" } }: PageProps) {
  const found = useGet<User>(`users/${encodeURIComponent(id)}`);
  return <Await of={found}>{user => <One user={user} reload={found.reload} />}</Await>;
}

function One({ user, reload }: { user: User; reload: () => void }) {
  const [asks, setAsks] = useState<"edit" | "turn" | "delete" | null>(null);
  const keys = useGet<{ keys: Key[] }>("keys", { user: user.username });
  const close = () => setAsks(null);
  const done = (said: string) => {
    toast(said);
    reload();
    keys.reload();
  };
  const isActive = user.status === "active";
  return (
    <Page
      title={user.username}
      above={above}
      state={<State of={user.status} filled />}
      actions={
        <>
          <Button onClick={() => setAsks("edit")}>Edit…</Button>
          <Button onClick={() => setAsks("turn")}>{isActive ? "Disable…" : "Enable…"}</Button>
          <Button kind="danger" onClick={() => setAsks("delete")}>
            Delete…
          </Button>
        </>
      }
    >
      <div class="stack">
        <Card title="About">
          <Facts
            rows={[
              ["E-mail", user.email || "–"],
              ["Roles", user.roles.length ? <Tags key="r" of={user.roles} most={20} /> : "none"],
              [
                "Own policies",
                user.policies.length ? <Tags key="p" of={user.policies} most={20} /> : "none",
              ],
              ["Made", <Moment key="made" at={user.created_at} />],
              ["Changed", <TimeAgo key="changed" at={user.updated_at} />],
            ]}
          />
        </Card>
        <Await of={keys}>
          {found => <Keys user={user.username} keys={found.keys} done={keys.reload} />}
        </Await>
      </div>
      {asks === "edit" && <Edit user={user} close={close} done={done} />}
      {asks === "turn" && <Turn user={user} close={close} done={done} />}
      {asks === "delete" && <Delete user={user} close={close} />}
    </Page>
  );
}

interface AskProps {
  user: User;
  close: () => void;
  done: (said: string) => void;
}

function Edit({ user, close, done }: AskProps) {
  const [email, setEmail] = useState(user.email);
  const [roles, setRoles] = useState(user.roles.join(", "));
  const [policies, setPolicies] = useState(user.policies.join(", "));
  const act = async () => {
    const body = { email, roles: listed(roles), policies: listed(policies) };
    await patch(`users/${user.id}`, body);
    done("It counts from the next request on");
  };
  return (
    <Dialog title={`Edit ${user.username}`} action="Store" act={act} close={close}>
      <Field label="E-mail" type="email" value={email} change={setEmail} />
      <Field label="Roles" hint="Several with commas" value={roles} change={setRoles} />
      <Field label="Policies" hint="Several with commas" value={policies} change={setPolicies} />
    </Dialog>
  );
}

function Turn({ user, close, done }: AskProps) {
  const isActive = user.status === "active";
  const act = async () => {
    await patch(`users/${user.id}`, { status: isActive ? "disabled" : "active" });
    done(isActive ? `${user.username} is disabled` : `${user.username} is enabled`);
  };
  return (
    <Dialog
      title={isActive ? `Disable ${user.username}` : `Enable ${user.username}`}
      action={isActive ? "Disable" : "Enable"}
      danger={isActive}
      act={act}
      close={close}
    >
      <p>
        {isActive
          ? "Every request is refused from now on; tokens and sessions end. Keys stay, and count again once the user is enabled."
          : "The keys count again. Tokens that ended stay so."}
      </p>
    </Dialog>
  );
}

function Delete({ user, close }: Omit<AskProps, "done">) {
  const act = async () => {
    await remove(`users/${user.id}`);
    toast(`${user.username} is deleted`);
    navigate("/users");
  };
  return (
    <Dialog title={`Delete ${user.username}`} action="Delete" danger act={act} close={close}>
      <p>Keys, tokens and sessions go with the user. The audit log keeps what was done.</p>
    </Dialog>
  );
}
