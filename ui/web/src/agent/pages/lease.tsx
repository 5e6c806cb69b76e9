import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Button } from "../../components/button";
import { Card, DescriptionList } from "../../components/card";
import { Dialog } from "../../components/dialog";
import { TextField } from "../../components/field";
import { Page } from "../../components/page";
import { Await, EmptyState, Notice } from "../../components/states";
import { RelativeTime, Timestamp } from "../../components/time";
import { showToast } from "../../components/toasts";
import { type ApiError, asApiError, post } from "../../lib/api";
import { humanize } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { query } from "../../lib/router";
import type { Lease } from "../api-types";
import { isFailing, isStanding, LEASE_STATES, leaseFolder, leasesHref } from "../leases";
import { usePermission } from "../permission";
import { useRefreshAt } from "../refresh";
import { secretPath } from "../secret-paths";
import { LeaseBadge } from "./lease/state-badge";
import "./pages.css";

/** One lease: who has it, until when, and what became of its user. */
export default function LeasePage() {
  const id = query.value.get("id") ?? "";
  const result = useGet<Lease>(id ? secretPath("leases", id) : null);
  useRefreshAt([result], [result.data?.next_at ?? null]);
  if (!id || result.error?.status === 404)
    return (
      <Page title={id || "Lease"} parent={{ href: "/leases", title: "Leases" }}>
        <EmptyState icon="key" title="Lease not found">
          It was over more than a day ago, or there never was one.
        </EmptyState>
      </Page>
    );
  return (
    <Await query={result}>
      {lease => <LeaseView key={id} lease={lease} reload={result.reload} />}
    </Await>
  );
}

type LeaseAction = "renew" | "revoke" | "force" | null;

function LeaseView({ lease, reload }: { lease: Lease; reload: () => void }) {
  const [dialog, setDialog] = useState<LeaseAction>(null);
  const { id, state, error } = lease;
  const mayRenew = usePermission("update", `sys/leases/renew/${id}`);
  const mayRevoke = usePermission("update", `sys/leases/revoke/${id}`);
  const mayForce = usePermission("sudo", `sys/leases/revoke/${id}`);
  const close = () => setDialog(null);
  const done = (message: string) => {
    showToast(message);
    reload();
  };
  const folder = leaseFolder(id);
  return (
    <Page
      title={id}
      parent={{ href: leasesHref(folder), title: folder }}
      state={<LeaseBadge state={state} filled />}
      actions={
        <>
          {mayRenew && state === "active" && (
            <Button onClick={() => setDialog("renew")}>Renew…</Button>
          )}
          {mayRevoke && mayForce && isFailing(lease) && (
            <Button kind="danger" onClick={() => setDialog("force")}>
              Leave user behind…
            </Button>
          )}
          {mayRevoke && isStanding(lease) && (
            <Button kind="danger" onClick={() => setDialog("revoke")}>
              Revoke…
            </Button>
          )}
        </>
      }
    >
      <div class="stack">
        {error && (
          <Notice tone={state === "irrevocable" ? "bad" : "warn"}>
            The user could not be dropped: {error}
          </Notice>
        )}
        <LeaseFacts lease={lease} />
      </div>
      {dialog === "renew" && <Renew lease={lease} onClose={close} onDone={done} />}
      {dialog === "revoke" && <Revoke lease={lease} onClose={close} onDone={done} />}
      {dialog === "force" && <LeaveBehind lease={lease} onClose={close} onDone={done} />}
    </Page>
  );
}

function LeaseFacts({ lease }: { lease: Lease }) {
  const { state } = lease;
  return (
    <Card title="About">
      <div class="stack">
        <p role="status">{LEASE_STATES[state].meaning}</p>
        <DescriptionList
          rows={[
            ["Owner", lease.owner_name || "–"],
            ["Connection", lease.connection],
            ["User at the server", <code key="user">{lease.username}</code>],
            ["Issued", <Timestamp key="issued" at={lease.issued_at} />],
            ["Renewed", lease.renewed_at ? <Timestamp key="r" at={lease.renewed_at} /> : "Never"],
            ["Expires", <Timestamp key="expires" at={lease.expires_at} />],
            ["Latest expiry", <Timestamp key="most" at={lease.max_expires_at} />],
            ...(lease.reason
              ? ([["Ended because", humanize(lease.reason)]] as [string, string][])
              : []),
            ...(lease.ended_at
              ? ([["Ended", <Timestamp key="ended" at={lease.ended_at} />]] as [
                  string,
                  ComponentChildren,
                ][])
              : []),
            ...(lease.attempt
              ? ([
                  ["Failed attempts", lease.attempt],
                  ["Next attempt", <RelativeTime key="next" at={lease.next_at} />],
                ] as [string, ComponentChildren][])
              : []),
          ]}
        />
      </div>
    </Card>
  );
}

interface ActionDialogProps {
  lease: Lease;
  onClose: () => void;
  onDone: (message: string) => void;
}

function Renew({ lease, onClose, onDone }: ActionDialogProps) {
  const [increment, setIncrement] = useState("");
  const [error, setError] = useState<ApiError | null>(null);
  const isFieldError = ({ field }: ApiError) => field === "increment";
  const submit = async () => {
    setError(null);
    try {
      const body = increment.trim() ? { increment: increment.trim() } : {};
      const renewed = await post<{ warnings: string[] }>(secretPath("lease-renew", lease.id), body);
      onDone(["Lease renewed", ...renewed.warnings].join(": "));
    } catch (thrown) {
      setError(asApiError(thrown));
      throw thrown;
    }
  };
  return (
    <Dialog
      title="Renew this lease"
      submitLabel="Renew"
      onSubmit={submit}
      onClose={onClose}
      isFieldError={isFieldError}
    >
      <TextField
        label="Duration"
        hint="From now on, as far as the role allows: 30m, 2h. Empty: as long as when it was issued."
        autocomplete="off"
        value={increment}
        onChange={setIncrement}
        error={error && isFieldError(error) ? error.message : undefined}
      />
    </Dialog>
  );
}

function Revoke({ lease, onClose, onDone }: ActionDialogProps) {
  const submit = async () => {
    await post(secretPath("lease-revoke", lease.id), {});
    onDone("Lease revoked");
  };
  return (
    <Dialog
      title="Revoke this lease?"
      submitLabel="Revoke"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        The user <b>{lease.username}</b> is dropped at <b>{lease.connection}</b>, and its sessions
        end. It cannot be undone.
      </p>
    </Dialog>
  );
}

function LeaveBehind({ lease, onClose, onDone }: ActionDialogProps) {
  const submit = async () => {
    await post(secretPath("lease-revoke", lease.id), { force: true });
    onDone("The lease is over");
  };
  return (
    <Dialog
      title="Leave the user behind?"
      submitLabel="End lease"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        The lease is over without its user being dropped. Drop <b>{lease.username}</b> at{" "}
        <b>{lease.connection}</b> yourself: until then it may log in.
      </p>
    </Dialog>
  );
}
