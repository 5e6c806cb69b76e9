import { useEffect, useState } from "preact/hooks";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { Dialog } from "../../../components/dialog";
import { SelectField, TextField } from "../../../components/field";
import { Await } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { timeColumn } from "../../../components/time-column";
import { showToast } from "../../../components/toasts";
import { post } from "../../../lib/api";
import { pluralize } from "../../../lib/format";
import { useGet } from "../../../lib/hooks";
import { hasRole, organizationPath } from "../../../lib/session";
import { type JoinRequest, SLUG_PATTERN } from "./api-types";

const POLL_INTERVAL = 3000; // milliseconds; the live feed has no topic for join requests

type JoinDecision = { join: JoinRequest; step: "approve" | "refuse" };

/** Requests of agents without a token, which an operator approves or rejects. */
export function JoinRequests() {
  const result = useGet<JoinRequest[]>(organizationPath("joins"));
  const [decision, setDecision] = useState<JoinDecision | null>(null);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || result.reload(), POLL_INTERVAL);
    return () => clearInterval(timer);
  }, []);
  const columns: Column<JoinRequest>[] = [
    ...COLUMNS,
    {
      name: "actions",
      title: "Actions",
      hideTitle: true,
      width: "12rem",
      numeric: true,
      cell: join =>
        hasRole("operator") && (
          <span class="line end">
            <Button onClick={() => setDecision({ join, step: "refuse" })}>Reject…</Button>
            <Button onClick={() => setDecision({ join, step: "approve" })}>Approve…</Button>
          </span>
        ),
    },
  ];
  const close = () => {
    setDecision(null);
    result.reload();
  };
  return (
    <Await query={result}>
      {joins => (
        <Card title="Join requests" flush aside={pluralize(joins.length, "request")}>
          {joins.length ? (
            <Table label="Join requests" columns={columns} rows={joins} keyOf={row => row.id} />
          ) : (
            <p class="muted">
              No join requests. To send one from an agent, run{" "}
              <code>freehold agent enrol --join</code>.
            </p>
          )}
          {decision?.step === "approve" && <ApproveDialog join={decision.join} onClose={close} />}
          {decision?.step === "refuse" && <RejectDialog join={decision.join} onClose={close} />}
        </Card>
      )}
    </Await>
  );
}

const COLUMNS: Column<JoinRequest>[] = [
  {
    name: "label",
    title: "Requested name",
    cell: ({ label }) => <span title={label}>{label}</span>,
  },
  {
    name: "fingerprint",
    title: "Fingerprint",
    width: "17rem",
    wideOnly: true,
    cell: ({ fingerprint }) => <code>{fingerprint}</code>,
  },
  {
    name: "source",
    title: "IP address",
    width: "10rem",
    wideOnly: true,
    cell: ({ source }) => source,
  },
  timeColumn("requested", "Requested", row => row.requested_at, { wideOnly: true }),
];

/** The fingerprint has to be typed, so that somebody compares it. */
function ApproveDialog({ join, onClose }: { join: JoinRequest; onClose: () => void }) {
  const [vault, setVault] = useState(join.label);
  const [fingerprint, setFingerprint] = useState("");
  const [replace, setReplace] = useState("no");
  const submit = async () => {
    const body = { vault, fingerprint: fingerprint.trim(), replace: replace === "yes" };
    await post(organizationPath(`joins/${join.id}/approve`), body);
    showToast(`${vault} approved`);
  };
  return (
    <Dialog
      title={`Approve ${join.label}?`}
      submitLabel="Approve"
      onSubmit={submit}
      onClose={onClose}
    >
      <p class="muted">
        Anyone can send a request. Enter the fingerprint shown on the agent's machine, not the one
        listed here.
      </p>
      <TextField
        label="Fingerprint"
        value={fingerprint}
        onChange={setFingerprint}
        required
        pattern="[0-9a-f]{4}(-[0-9a-f]{4}){4}"
        placeholder="0000-0000-0000-0000-0000"
        autocomplete="off"
      />
      <TextField
        label="Name"
        value={vault}
        onChange={setVault}
        required
        pattern={SLUG_PATTERN}
        maxLength={64}
      />
      <SelectField
        label="If the name is taken"
        value={replace}
        onChange={setReplace}
        options={[
          ["no", "Reject the request"],
          ["yes", "Replace the existing agent"],
        ]}
      />
    </Dialog>
  );
}

function RejectDialog({ join, onClose }: { join: JoinRequest; onClose: () => void }) {
  const submit = async () => {
    await post(organizationPath(`joins/${join.id}/refuse`));
    showToast("Request rejected");
  };
  return (
    <Dialog
      title={`Reject ${join.label}?`}
      submitLabel="Reject"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p class="muted">The agent can send a new request.</p>
    </Dialog>
  );
}
