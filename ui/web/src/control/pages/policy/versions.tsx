import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Card } from "../../../components/card";
import { CodeBlock, DiffView } from "../../../components/code-block";
import { Select } from "../../../components/field";
import { type Column, Table } from "../../../components/table";
import { timeColumn } from "../../../components/time-column";
import type { Policy, PolicyVersion } from "../../../lib/api-types";
import { formatPolicy } from "../../../lib/policy-document";

interface VersionsProps {
  policy: Policy;
  /** Newest first. */
  versions: PolicyVersion[];
}

/** The versions of a policy and the diff of any two. */
export function PolicyVersions({ policy, versions }: VersionsProps) {
  const newest = versions[0];
  const [after, setAfter] = useState(newest?.version ?? 0);
  const [before, setBefore] = useState(versions[1]?.version ?? 0);
  const textOf = (number: number) => {
    const result = versions.find(({ version }) => version === number);
    return result ? formatPolicy(result.document) : "";
  };
  const choices = versions.map(({ version }) => [`${version}`, `Version ${version}`] as const);
  const look = (row: PolicyVersion) => {
    setAfter(row.version);
    setBefore(versions.find(({ version }) => version < row.version)?.version ?? 0);
  };
  return (
    <div class="stack">
      <Card
        title="Versions"
        flush
        aside={versions.length >= MAX_VERSIONS && `newest ${MAX_VERSIONS}`}
      >
        <Table
          label="Versions"
          columns={columns(policy)}
          rows={versions}
          keyOf={({ version }) => `${version}`}
          onOpen={look}
          height="18rem"
        />
      </Card>
      <Card
        title="Compare"
        aside={
          <span class="line">
            <Select
              aria-label="Older version"
              value={`${before}`}
              onChange={value => setBefore(Number(value))}
              options={[["0", "None"], ...choices]}
            />
            <span aria-hidden="true">→</span>
            <Select
              aria-label="Newer version"
              value={`${after}`}
              onChange={value => setAfter(Number(value))}
              options={choices}
            />
          </span>
        }
      >
        {before ? (
          <DiffView label="Changes" before={textOf(before)} after={textOf(after)} />
        ) : (
          <CodeBlock label={`Version ${after}`} text={textOf(after)} />
        )}
      </Card>
    </div>
  );
}

export const MAX_VERSIONS = 100;

function columns({ stable }: Policy): Column<PolicyVersion>[] {
  return [
    {
      name: "version",
      title: "Version",
      width: "7.5rem",
      cell: ({ version }) => (
        <span class="line">
          {version}
          {version === stable && <StatusBadge status="done" label="In use" />}
        </span>
      ),
    },
    {
      name: "comment",
      title: "Comment",
      cell: ({ comment }) => <span title={comment}>{comment || "–"}</span>,
    },
    { name: "by", title: "Author", width: "12rem", wideOnly: true, cell: row => row.created_by },
    timeColumn("at", "Created", row => row.created_at),
  ];
}
