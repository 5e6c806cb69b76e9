import { useEffect } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { Select } from "../../../components/field";
import { Await, EmptyState } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { timeColumn } from "../../../components/time-column";
import { showError, showToast } from "../../../components/toasts";
import { post } from "../../../lib/api";
import { humanize, pluralize } from "../../../lib/format";
import { useGet } from "../../../lib/hooks";
import { query, setQuery } from "../../../lib/router";
import { hasRole, organizationPath } from "../../../lib/session";
import type { Channel, Delivery } from "./api-types";

const POLL_INTERVAL = 5000; // milliseconds
const STATES = {
  waiting: ["wanted", "Waiting"],
  sent: ["ok", "Sent"],
  dead: ["failed", "Dead letter"],
} as const;

/** Queued, sent and dead messages. */
export function DeliveriesTab() {
  const channels = useGet<Channel[]>(organizationPath("channels"));
  const [channel, state] = [query.value.get("channel") ?? "", query.value.get("state") ?? ""];
  const result = useGet<Delivery[]>(organizationPath("deliveries"), {
    channel: channel || undefined,
    state: state || undefined,
    limit: 100,
  });
  useEffect(() => {
    const timer = setInterval(() => document.hidden || result.reload(), POLL_INTERVAL);
    return () => clearInterval(timer);
  }, []);
  const names = new Map(channels.data?.map(({ id, name }) => [id, name]));
  const replay = ({ id }: Delivery) =>
    post(organizationPath(`deliveries/${id}/replay`)).then(() => {
      showToast("Sending the message again");
      result.reload();
    }, showError);
  return (
    <Card title="Deliveries" flush>
      <div class="toolbar">
        <Select
          aria-label="Channel"
          value={channel}
          onChange={value => setQuery({ channel: value })}
          options={[["", "Any channel"], ...names]}
        />
        <Select
          aria-label="State"
          value={state}
          onChange={value => setQuery({ state: value })}
          options={[
            ["", "Any state"],
            ["waiting", "Waiting"],
            ["sent", "Sent"],
            ["dead", "Dead letters"],
          ]}
        />
      </div>
      <Await query={result}>
        {rows => (
          <Table
            label="Deliveries"
            columns={columns(names, replay)}
            rows={rows}
            keyOf={({ id }) => id}
            empty={<EmptyState icon="bell" title="No matching messages" />}
          />
        )}
      </Await>
    </Card>
  );
}

function columns(
  names: ReadonlyMap<string, string>,
  replay: (row: Delivery) => void,
): Column<Delivery>[] {
  return [
    {
      name: "state",
      title: "State",
      width: "8rem",
      cell: row => {
        const [of, label] = STATES[row.state];
        return <StatusBadge status={of} label={label} />;
      },
    },
    { name: "what", title: "Alert", cell: row => <NoticeSummary row={row} /> },
    {
      name: "channel",
      title: "Channel",
      width: "10rem",
      wideOnly: true,
      cell: row => names.get(row.channel) ?? row.channel,
    },
    {
      name: "attempts",
      title: "Attempts",
      width: "6rem",
      numeric: true,
      wideOnly: true,
      cell: row => row.attempts,
    },
    {
      name: "reason",
      title: "Last failure",
      wideOnly: true,
      cell: ({ reason }) => <span title={reason}>{reason || "–"}</span>,
    },
    timeColumn("when", "When", row => row.finished_at ?? row.due_at, { wideOnly: true }),
    {
      name: "actions",
      title: "Actions",
      hideTitle: true,
      width: "8rem",
      numeric: true,
      cell: row =>
        row.state === "dead" &&
        hasRole("operator") && <Button onClick={() => replay(row)}>Resend</Button>,
    },
  ];
}

function NoticeSummary({ row: { notices } }: { row: Delivery }) {
  const [first] = notices;
  if (!first) return <>–</>;
  const text = `${humanize(first.code || first.kind)}${first.vault ? `, ${first.vault}` : ""}`;
  if (notices.length < 2) return <span title={first.message}>{text}</span>;
  return <span>{`${text} and ${pluralize(notices.length - 1, "more", "more")}`}</span>;
}
