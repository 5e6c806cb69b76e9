import { remove } from "../../lib/api";
import { now } from "../../lib/clock";
import { instant } from "../../lib/format";
import { useAnew, useGet, useLive } from "../../lib/hooks";
import { may, ofOrganization, organization } from "../../lib/session";
import type { AgentRow } from "../../lib/types";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Await, Empty } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { timeColumn } from "../../parts/timecolumn";
import { toast, toastError } from "../../parts/toasts";
import type { Token } from "./wire";

/** Tokens that were handed out, and what became of them. */
export function Tokens() {
  const fleet = useLive<AgentRow>("fleet", organization.value);
  fleet.version.value;
  const found = useGet<Token[]>(ofOrganization("enrolment-tokens"));
  useAnew(found, [...fleet.rows.values()].filter(({ life }) => life === "active").length);
  const withdraw = (token: Token) =>
    remove(ofOrganization(`enrolment-tokens/${token.id}`)).then(() => {
      toast(`The token for ${token.vault} is worth nothing now`);
      found.reload();
    }, toastError);
  const columns: Column<Token>[] = [
    ...COLUMNS,
    {
      name: "actions",
      title: "Actions",
      bare: true,
      width: "7.5rem",
      number: true,
      cell: token =>
        may("operator") &&
        stateOf(token) === "open" && <Button onClick={() => withdraw(token)}>Withdraw</Button>,
    },
  ];
  return (
    <Card title="Tokens" flush>
      <Await of={found}>
        {tokens => (
          <Table
            label="Enrolment tokens"
            columns={columns}
            rows={tokens}
            keyOf={({ id }) => id}
            height="18rem"
            empty={<Empty title="None was handed out lately" />}
          />
        )}
      </Await>
    </Card>
  );
}

const STATES = {
  open: ["pending", "Open"],
  used: ["ok", "Used"],
  over: ["retired", "Expired"],
} as const;

const COLUMNS: Column<Token>[] = [
  {
    name: "state",
    title: "State",
    width: "7rem",
    cell: token => {
      const [of, label] = STATES[stateOf(token)];
      return <State of={of} label={label} />;
    },
  },
  { name: "vault", title: "Agent", cell: ({ vault }) => vault },
  {
    name: "replace",
    title: "May replace",
    width: "7rem",
    wide: true,
    cell: ({ replace }) => (replace ? "yes" : "no"),
  },
  { name: "by", title: "By", wide: true, cell: row => row.created_by },
  timeColumn("made", "Made", row => row.created_at, { wide: true }),
  timeColumn("ends", "Ends", row => row.used_at ?? row.expires_at, { wide: true }),
];

function stateOf(token: Token): keyof typeof STATES {
  if (token.used_at) return "used";
  return (instant(token.expires_at) ?? 0) < now.value ? "over" : "open";
}
