import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { Await, EmptyState } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { timeColumn } from "../../../components/time-column";
import { showError, showToast } from "../../../components/toasts";
import { remove } from "../../../lib/api";
import type { AgentRow } from "../../../lib/api-types";
import { now } from "../../../lib/clock";
import { toMillis } from "../../../lib/format";
import { useGet, useLive, useReloadOn } from "../../../lib/hooks";
import { hasRole, organization, organizationPath } from "../../../lib/session";
import type { EnrolmentToken } from "./api-types";

/** Enrolment tokens and their states. */
export function EnrolmentTokens() {
  const fleet = useLive<AgentRow>("fleet", organization.value);
  fleet.version.value;
  const result = useGet<EnrolmentToken[]>(organizationPath("enrolment-tokens"));
  useReloadOn(result, [...fleet.rows.values()].filter(({ life }) => life === "active").length);
  const revoke = (token: EnrolmentToken) =>
    remove(organizationPath(`enrolment-tokens/${token.id}`)).then(() => {
      showToast(`Token for ${token.vault} revoked`);
      result.reload();
    }, showError);
  const columns: Column<EnrolmentToken>[] = [
    ...COLUMNS,
    {
      name: "actions",
      title: "Actions",
      hideTitle: true,
      width: "7.5rem",
      numeric: true,
      cell: token =>
        hasRole("operator") &&
        tokenState(token) === "open" && <Button onClick={() => revoke(token)}>Revoke</Button>,
    },
  ];
  return (
    <Card title="Enrolment tokens" flush>
      <Await query={result}>
        {tokens => (
          <Table
            label="Enrolment tokens"
            columns={columns}
            rows={tokens}
            keyOf={({ id }) => id}
            height="18rem"
            empty={<EmptyState title="No recent tokens" />}
          />
        )}
      </Await>
    </Card>
  );
}

const TOKEN_STATES = {
  open: ["pending", "Open"],
  used: ["ok", "Used"],
  over: ["retired", "Expired"],
} as const;

const COLUMNS: Column<EnrolmentToken>[] = [
  {
    name: "state",
    title: "State",
    width: "7rem",
    cell: token => {
      const [of, label] = TOKEN_STATES[tokenState(token)];
      return <StatusBadge status={of} label={label} />;
    },
  },
  { name: "vault", title: "Agent", cell: ({ vault }) => vault },
  {
    name: "replace",
    title: "Can replace",
    width: "7rem",
    wideOnly: true,
    cell: ({ replace }) => (replace ? "Yes" : "No"),
  },
  { name: "by", title: "Created by", wideOnly: true, cell: row => row.created_by },
  timeColumn("made", "Created", row => row.created_at, { wideOnly: true }),
  timeColumn("ends", "Used or expires", row => row.used_at ?? row.expires_at, { wideOnly: true }),
];

function tokenState(token: EnrolmentToken): keyof typeof TOKEN_STATES {
  if (token.used_at) return "used";
  return (toMillis(token.expires_at) ?? 0) < now.value ? "over" : "open";
}
