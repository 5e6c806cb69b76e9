import { useState } from "preact/hooks";
import { TagList } from "../../components/badge";
import { Button } from "../../components/button";
import { Card, DescriptionList } from "../../components/card";
import { CodeBlock } from "../../components/code-block";
import { Dialog } from "../../components/dialog";
import { Page } from "../../components/page";
import { Await, EmptyState, Notice } from "../../components/states";
import { RelativeTime, Timestamp } from "../../components/time";
import { showToast } from "../../components/toasts";
import { post, remove } from "../../lib/api";
import { humanize, pluralize } from "../../lib/format";
import { type Action, useAction, useGet } from "../../lib/hooks";
import { query } from "../../lib/router";
import type {
  Adoption,
  Rotation,
  RotationOverview,
  RotationPolicy,
  SecretRotation,
} from "../api-types";
import { usePermission } from "../permission";
import { useRefreshAt } from "../refresh";
import {
  describeNotify,
  describeSchedule,
  describeWindow,
  shortDuration,
} from "../rotation-policy";
import { isOver, isUndoable, STATES } from "../rotation-states";
import { secretHref, secretPath } from "../secret-paths";
import { RotationHistory } from "./rotation/history";
import { PausedNotice } from "./rotation/paused-notice";
import { PolicyDialog } from "./rotation/policy-dialog";
import { RotationBadge } from "./rotation/state-badge";
import "./pages.css";

const PARENT = { href: "/rotations", title: "Rotations" };

/** How one secret is rotated: policy, current rotation, history. */
export default function RotationPage() {
  const name = query.value.get("name") ?? "";
  const result = useGet<SecretRotation>(name ? secretPath("rotation", name) : null);
  if (!name || result.error?.status === 404)
    return (
      <Page title={name || "Rotation"} parent={PARENT}>
        <EmptyState icon="lock" title="Secret not found">
          It was erased, or you do not have permission to see it.
        </EmptyState>
      </Page>
    );
  return (
    <Await query={result}>
      {found => <RotationView key={name} name={name} found={found} query={result} />}
    </Await>
  );
}

type RotationAction = "rotate" | "undo" | "abandon" | "edit" | "remove" | null;

interface RotationViewProps {
  name: string;
  found: SecretRotation;
  query: ReturnType<typeof useGet<SecretRotation>>;
}

function RotationView({ name, found, query: result }: RotationViewProps) {
  const [dialog, setDialog] = useState<RotationAction>(null);
  const mayUpdate = usePermission("update", name);
  const mayList = usePermission("list", "sys/rotations/");
  const overview = useGet<RotationOverview>(mayList ? "rotations/overview" : null);
  // null until they are known: a field must not change its kind while somebody fills it in
  const rotators = mayList === false || overview.error ? [] : (overview.data?.rotators ?? null);
  const { policy } = found;
  const latest = found.rotations[0];
  useRefreshAt([result], [latest?.next_at ?? null, found.due_at]);
  const close = () => setDialog(null);
  const done = (message: string) => {
    showToast(message);
    result.reload();
  };
  const retry = useAction(async () => {
    await post(secretPath("rotation-resume", name));
    done("The step is tried again.");
  });
  return (
    <Page
      title={name}
      parent={PARENT}
      state={latest && <RotationBadge state={latest.state} filled />}
      actions={
        <>
          <a class="button plain" href={secretHref(name)}>
            Show secret
          </a>
          {mayUpdate && <Actions name={name} found={found} retry={retry} onOpen={setDialog} />}
        </>
      }
    >
      <div class="stack">
        {overview.data?.paused && <PausedNotice />}
        {retry.error && <Notice tone="bad">{retry.error.message}</Notice>}
        <div class="columns">
          <PolicyCard name={name} found={found} />
          {latest && <LatestRotation rotation={latest} />}
        </div>
        <RotationHistory rotations={found.rotations} />
      </div>
      {dialog === "edit" && rotators && (
        <PolicyDialog
          name={name}
          policy={policy}
          rotators={rotators}
          onClose={close}
          onSaved={() => done("Policy saved")}
        />
      )}
      {dialog === "rotate" && policy && (
        <RotateNow name={name} policy={policy} onClose={close} onDone={done} />
      )}
      {dialog === "abandon" && <Abandon name={name} onClose={close} onDone={done} />}
      {dialog === "undo" && <Undo name={name} onClose={close} onDone={done} />}
      {dialog === "remove" && <RemovePolicy name={name} onClose={close} onDone={done} />}
    </Page>
  );
}

interface ActionsProps {
  name: string;
  found: SecretRotation;
  retry: Action;
  onOpen: (dialog: RotationAction) => void;
}

/** What can be done with the secret as it is. */
function Actions({ name, found, retry, onOpen }: ActionsProps) {
  const isOwn = found.source === name;
  const latest = found.rotations[0];
  return (
    <>
      {isOwn && <Button onClick={() => onOpen("remove")}>Remove policy…</Button>}
      <Button onClick={() => onOpen("edit")}>{isOwn ? "Edit policy…" : "Set policy…"}</Button>
      {latest && isUndoable(latest) && (
        <Button kind="danger" onClick={() => onOpen("undo")}>
          Undo rotation…
        </Button>
      )}
      {latest?.state === "stuck" && (
        <>
          <Button kind="danger" onClick={() => onOpen("abandon")}>
            Give up rotation…
          </Button>
          <Button kind="primary" busy={retry.busy} onClick={retry.run}>
            Try step again
          </Button>
        </>
      )}
      {found.policy && (!latest || isOver(latest)) && (
        <Button kind="primary" onClick={() => onOpen("rotate")}>
          Rotate now…
        </Button>
      )}
    </>
  );
}

function PolicyCard({ name, found }: { name: string; found: SecretRotation }) {
  const { policy, source, due_at: due } = found;
  if (!policy)
    return (
      <Card title="Policy">
        <EmptyState icon="policy" title="No rotation policy">
          Neither the secret nor one of its folders has one, so it cannot be rotated.
        </EmptyState>
      </Card>
    );
  const { retry } = policy;
  return (
    <Card title="Policy" aside={source === name ? "Of this secret" : `Of the folder ${source}`}>
      <div class="stack">
        <DescriptionList
          rows={[
            ["Rotator", policy.rotator],
            ["Schedule", describeSchedule(policy)],
            ["Next rotation", due ? <Timestamp key="due" at={due} /> : "Not scheduled"],
            ["Grace period", shortDuration(policy.grace)],
            ["Adoption window", describeWindow(policy)],
            [
              "Connection",
              policy.connection ? (
                <a key="connection" href={secretHref(policy.connection)}>
                  {policy.connection}
                </a>
              ) : (
                "None"
              ),
            ],
            [
              "Attempts per step",
              `${retry.attempts}, ${shortDuration(retry.base)} to ${shortDuration(retry.cap)} apart`,
            ],
            ["Notify", describeNotify(policy)],
          ]}
        />
        {Object.keys(policy.config).length > 0 && (
          <CodeBlock label="Settings" text={JSON.stringify(policy.config, null, 2)} />
        )}
      </div>
    </Card>
  );
}

function LatestRotation({ rotation }: { rotation: Rotation }) {
  const { state, error, adoption, next_at: next } = rotation;
  return (
    <Card title="Latest rotation" aside={`No. ${rotation.number}`}>
      <div class="stack">
        <p class="line" role="status">
          <RotationBadge state={state} />
          {STATES[state].meaning}
        </p>
        {error && <Notice tone={state === "stuck" ? "bad" : "warn"}>{error}</Notice>}
        <DescriptionList
          rows={[
            ["Began", <RelativeTime key="began" at={rotation.began_at} />],
            [
              isOver(rotation) ? "Ended" : "Next step",
              <RelativeTime key="next" at={isOver(rotation) ? rotation.ended_at : next} />,
            ],
            ["Replaces version", rotation.previous],
            ["New version", rotation.version || "None yet"],
            ...(rotation.attempt
              ? ([["Failed attempts", rotation.attempt]] as [string, number][])
              : []),
          ]}
        />
        {adoption && <AdoptionView adoption={adoption} />}
      </div>
    </Card>
  );
}

/** Who has fetched the new version, and who has not. */
function AdoptionView({ adoption }: { adoption: Adoption }) {
  const { state, laggards, fetched, reason } = adoption;
  if (state === "unknown")
    return (
      <p class="muted">
        It is not known who has fetched the new version: {humanize(reason).toLowerCase()}. The old
        value works until the grace period is over.
      </p>
    );
  return (
    <section class="stack" aria-label="Adoption">
      <p>
        {pluralize(fetched, "application")} fetched the new version
        {laggards.length > 0 && `, ${laggards.length} did not yet`}.
      </p>
      {laggards.length > 0 && <TagList tags={laggards} max={20} />}
    </section>
  );
}

interface ActionDialogProps {
  name: string;
  onClose: () => void;
  onDone: (message: string) => void;
}

function RotateNow({
  name,
  policy,
  onClose,
  onDone,
}: ActionDialogProps & { policy: RotationPolicy }) {
  const submit = async () => {
    await post(secretPath("rotate", name));
    onDone("Rotation begun");
  };
  return (
    <Dialog
      title="Rotate this secret now?"
      submitLabel="Rotate"
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        <b>{name}</b> gets a new value. The old one works for up to {shortDuration(policy.grace)}{" "}
        after the new one is current.
      </p>
    </Dialog>
  );
}

function Undo({ name, onClose, onDone }: ActionDialogProps) {
  const submit = async () => {
    await post(secretPath("rotation-undo", name));
    onDone("The rotation is undone.");
  };
  return (
    <Dialog
      title="Undo this rotation?"
      submitLabel="Undo"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        The target is put back to the current value of <b>{name}</b>. It is possible as long as the
        new value is not current.
      </p>
    </Dialog>
  );
}

function Abandon({ name, onClose, onDone }: ActionDialogProps) {
  const submit = async () => {
    await post(secretPath("rotation-abandon", name));
    onDone("The rotation is given up.");
  };
  return (
    <Dialog
      title="Give up this rotation?"
      submitLabel="Give up"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        <b>{name}</b> stays as it is, and so does the target: what is left there, you have to mend
        by hand. The rotation says what that is. If the cause can be mended, mend it and try the
        step again instead.
      </p>
    </Dialog>
  );
}

function RemovePolicy({ name, onClose, onDone }: ActionDialogProps) {
  const submit = async () => {
    await remove(secretPath("rotation", name));
    onDone("Policy removed");
  };
  return (
    <Dialog
      title="Remove the rotation policy?"
      submitLabel="Remove"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        <b>{name}</b> is then rotated by the policy of its folder, if there is one, and otherwise
        not at all. A rotation that runs goes on.
      </p>
    </Dialog>
  );
}
