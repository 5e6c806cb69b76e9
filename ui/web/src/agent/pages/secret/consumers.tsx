import { StatusBadge } from "../../../components/badge";
import { Card } from "../../../components/card";
import { Await, EmptyState, Notice } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { timeColumn } from "../../../components/time-column";
import { pluralize } from "../../../lib/format";
import { useGet } from "../../../lib/hooks";
import type { Consumer, SecretConsumersPage } from "../../api-types";
import { rotationHref } from "../../rotation-states";
import { secretPath } from "../../secret-paths";

const KINDS: Record<string, string> = { key: "API key", user: "User", token: "Token" };

const columns = (current: number): Column<Consumer>[] => [
  {
    name: "name",
    title: "Consumer",
    cell: row => <span title={row.id}>{row.name || row.id}</span>,
    sortBy: row => row.name || row.id,
  },
  {
    name: "kind",
    title: "Kind",
    width: "6.5rem",
    wideOnly: true,
    cell: row => KINDS[row.kind] ?? row.kind,
    sortBy: row => row.kind,
  },
  {
    name: "version",
    title: "Version",
    width: "5.5rem",
    numeric: true,
    cell: row => row.version,
    sortBy: row => row.version,
  },
  {
    name: "state",
    title: "State",
    width: "9rem",
    cell: row => <ConsumerState consumer={row} current={current} />,
  },
  timeColumn("fetched", "Last fetched", row => row.fetched_at, { sortable: true }),
];

/** Who fetched which version of a secret, and what connects with it. Names only. */
export function SecretConsumers({ name }: { name: string }) {
  const result = useGet<SecretConsumersPage>(secretPath("consumers", name));
  return <Await query={result}>{found => <ConsumerCards found={found} />}</Await>;
}

function ConsumerCards({ found }: { found: SecretConsumersPage }) {
  const { consumers, partial, version, dependents, hidden } = found;
  return (
    <>
      <Card
        title="Consumers"
        flush
        aside={pluralize(consumers.length, "consumer") + (partial ? ", and more" : "")}
      >
        {partial && (
          <Notice tone="warn">
            There are more consumers than the agent keeps: some are missing.
          </Notice>
        )}
        <Table
          label="Consumers"
          columns={columns(version)}
          rows={consumers}
          keyOf={({ kind, id }) => `${kind} ${id}`}
          height="16rem"
          empty={
            <EmptyState icon="people" title="No consumers">
              Nobody is known to have fetched the value. A fetch is listed here some seconds later.
            </EmptyState>
          }
        />
      </Card>
      {(dependents.length > 0 || hidden > 0) && (
        <Card title="Connects with this secret">
          <ul>
            {dependents.map(({ kind, path }) => (
              <li key={`${kind} ${path}`}>
                {kind === "rotation" && !path.endsWith("/") ? (
                  <a href={rotationHref(path)}>{path}</a>
                ) : (
                  path
                )}{" "}
                <span class="muted">{kind}</span>
              </li>
            ))}
            {hidden > 0 && <li class="muted">{hidden} more that you may not see</li>}
          </ul>
        </Card>
      )}
    </>
  );
}

function ConsumerState({ consumer, current }: { consumer: Consumer; current: number }) {
  if (consumer.compromised_at) return <StatusBadge status="locked" label="Compromised" />;
  if (consumer.version < current) return <StatusBadge status="late" label="Old version" />;
  return <StatusBadge status="good" label="Current version" />;
}
