import { useEffect } from "preact/hooks";
import { post } from "../../lib/api";
import { plural, words } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { query, setQuery } from "../../lib/router";
import { may, ofOrganization } from "../../lib/session";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Select } from "../../parts/field";
import { Await, Empty } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { timeColumn } from "../../parts/timecolumn";
import { toast, toastError } from "../../parts/toasts";
import type { Channel, Delivery } from "./wire";

const EVERY = 5000; // milliseconds
const LOOKS = {
  waiting: ["wanted", "Waiting"],
  sent: ["ok", "Sent"],
  dead: ["failed", "Dead letter"],
} as const;

/** Messages on their way, sent and dead. */
export function Deliveries() {
  const channels = useGet<Channel[]>(ofOrganization("channels"));
  const [channel, state] = [query.value.get("channel") ?? "", query.value.get("state") ?? ""];
  const found = useGet<Delivery[]>(ofOrganization("deliveries"), {
    channel: channel || undefined,
    state: state || undefined,
    limit: 100,
  });
  useEffect(() => {
    const timer = setInterval(() => document.hidden || found.reload(), EVERY);
    return () => clearInterval(timer);
  }, []);
  const names = new Map(channels.data?.map(({ id, name }) => [id, name]));
  const replay = ({ id }: Delivery) =>
    post(ofOrganization(`deliveries/${id}/replay`)).then(() => {
      toast("It is tried anew");
      found.reload();
    }, toastError);
  return (
    <Card title="Messages" flush>
      <div class="toolbar">
        <Select
          aria-label="Channel"
          value={channel}
          change={value => setQuery({ channel: value })}
          options={[["", "Any channel"], ...names]}
        />
        <Select
          aria-label="State"
          value={state}
          change={value => setQuery({ state: value })}
          options={[
            ["", "Any state"],
            ["waiting", "Waiting"],
            ["sent", "Sent"],
            ["dead", "Dead letters"],
          ]}
        />
      </div>
      <Await of={found}>
        {rows => (
          <Table
            label="Messages"
            columns={columns(names, replay)}
            rows={rows}
            keyOf={({ id }) => id}
            empty={<Empty icon="bell" title="No message fits" />}
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
        const [of, label] = LOOKS[row.state];
        return <State of={of} label={label} />;
      },
    },
    { name: "what", title: "What", cell: row => <What row={row} /> },
    {
      name: "channel",
      title: "Channel",
      width: "10rem",
      wide: true,
      cell: row => names.get(row.channel) ?? row.channel,
    },
    {
      name: "attempts",
      title: "Attempts",
      width: "6rem",
      number: true,
      wide: true,
      cell: row => row.attempts,
    },
    {
      name: "reason",
      title: "Last failure",
      wide: true,
      cell: ({ reason }) => <span title={reason}>{reason || "–"}</span>,
    },
    timeColumn("when", "When", row => row.finished_at ?? row.due_at, { wide: true }),
    {
      name: "actions",
      title: "Actions",
      bare: true,
      width: "8rem",
      number: true,
      cell: row =>
        row.state === "dead" &&
        may("operator") && <Button onClick={() => replay(row)}>Try anew</Button>,
    },
  ];
}

function What({ row: { notices } }: { row: Delivery }) {
  const [first] = notices;
  if (!first) return <>–</>;
  const told = `${words(first.code || first.kind)}${first.vault ? `, ${first.vault}` : ""}`;
  if (notices.length < 2) return <span title={first.message}>{told}</span>;
  return <span>{`${told} and ${plural(notices.length - 1, "more", "more")}`}</span>;
}
