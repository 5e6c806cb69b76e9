import { useState } from "preact/hooks";
import { StatusBadge, TagList } from "../../components/badge";
import { Button } from "../../components/button";
import { Card } from "../../components/card";
import { SearchInput, Select } from "../../components/field";
import { Page } from "../../components/page";
import { type ListPage, usePagination } from "../../components/pagination";
import { Await, EmptyState } from "../../components/states";
import { type Column, Table } from "../../components/table";
import { showToast } from "../../components/toasts";
import { get } from "../../lib/api";
import { formatCount, pluralize } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { navigate, query, setQuery } from "../../lib/router";
import type { Secret, SecretPage } from "../api-types";
import { FilterInput } from "../filter-input";
import { countFolders, folderHref, parentFolders, secretHref } from "../secret-paths";
import { CreateSecret } from "./secret/value-dialogs";
import "./pages.css";
import { timeColumn } from "../../components/time-column";

const PAGE_SIZE = 200; // secrets for each request
const MAX_FOLDERS = 12; // more are reached by the search
const STATUSES = [
  ["", "Any status"],
  ["active", "Active"],
  ["deleted", "Deleted"],
  ["destroyed", "Destroyed"],
  ["empty", "No version"],
] as const;

const secretColumns = (prefix: string): Column<Secret>[] => [
  {
    name: "name",
    title: "Secret",
    cell: ({ name }) => (
      <a href={secretHref(name)} title={name}>
        {name.slice(prefix.length)}
      </a>
    ),
    sortBy: row => row.name,
  },
  {
    name: "status",
    title: "Status",
    width: "7.5rem",
    cell: row => <StatusBadge status={row.status} />,
    sortBy: row => row.status,
  },
  {
    name: "version",
    title: "Version",
    width: "5.5rem",
    numeric: true,
    wideOnly: true,
    cell: row => row.version || "–",
    sortBy: row => row.version,
  },
  {
    name: "tags",
    title: "Tags",
    width: "14rem",
    wideOnly: true,
    cell: row => <TagList tags={row.tags} />,
  },
  {
    name: "by",
    title: "Written by",
    width: "10rem",
    wideOnly: true,
    cell: row => <span title={row.created_by}>{row.created_by}</span>,
    sortBy: row => row.created_by,
  },
  timeColumn("updated", "Changed", row => row.updated_at, { sortable: true, wideOnly: true }),
];

/** Secrets by folder and filter. Values are not requested. */
export default function Secrets() {
  const [dialog, setDialog] = useState(false);
  const prefix = query.value.get("prefix") ?? "";
  const filters = {
    prefix,
    tags: query.value.get("tags") ?? "",
    metadata: query.value.get("metadata") ?? "",
    status: query.value.get("status") ?? "",
  };
  const result = useGet<SecretPage>("secrets", { ...filters, limit: PAGE_SIZE });
  return (
    <Page
      title="Secrets"
      actions={
        <Button kind="primary" icon="lock" onClick={() => setDialog(true)}>
          Create secret…
        </Button>
      }
    >
      <div class="stack">
        <Breadcrumbs prefix={prefix} />
        <Await query={result}>
          {page => (
            <SecretTable key={JSON.stringify([filters, page])} filters={filters} first={page} />
          )}
        </Await>
      </div>
      {dialog && (
        <CreateSecret
          folder={prefix || "secret/"}
          onClose={() => setDialog(false)}
          onCreated={name => {
            showToast(`${name} created`);
            navigate(secretHref(name));
          }}
        />
      )}
    </Page>
  );
}

/** The folders above the current one. */
function Breadcrumbs({ prefix }: { prefix: string }) {
  return (
    <nav class="breadcrumbs" aria-label="Folder">
      <a href="/secrets">All</a>
      {parentFolders(prefix).map(folder => (
        <a key={folder} href={folderHref(folder)}>
          {folder.split("/").at(-2)}
        </a>
      ))}
    </nav>
  );
}

interface SecretTableProps {
  filters: Record<"prefix" | "tags" | "metadata" | "status", string>;
  first: SecretPage;
}

function SecretTable({ filters, first }: SecretTableProps) {
  const [draft, setDraft] = useState("");
  const result = usePagination(listPage(first), async cursor =>
    listPage(await get<SecretPage>("secrets", { query: { ...filters, limit: PAGE_SIZE, cursor } })),
  );
  const secrets = result.rows;
  const shown = secrets.filter(({ name }) => name.includes(draft.trim()));
  return (
    <Card title="All secrets" flush aside={pluralize(secrets.length, "secret") + result.suffix}>
      <div class="toolbar">
        <SearchInput label="Find secrets" value={draft} onChange={setDraft} />
        <FilterInput label="Tags: a,b" name="tags" value={filters.tags} />
        <FilterInput label="Metadata: env:prod" name="metadata" value={filters.metadata} />
        <Select
          aria-label="Status"
          value={filters.status}
          onChange={status => setQuery({ status })}
          options={STATUSES}
        />
      </div>
      <Folders prefix={filters.prefix} names={secrets.map(({ name }) => name)} />
      <Table
        label="Secrets"
        columns={secretColumns(filters.prefix)}
        rows={shown}
        keyOf={({ name }) => name}
        onOpen={({ name }) => navigate(secretHref(name))}
        empty={<EmptyState icon="lock" title="No secrets that you can see" />}
      />
      {result.loadMore}
    </Card>
  );
}

function listPage({ secrets, cursor }: SecretPage): ListPage<Secret, string> {
  return { rows: secrets, next: cursor };
}

function Folders({ prefix, names }: { prefix: string; names: string[] }) {
  const all = [...countFolders(prefix, names)];
  const folders = all.slice(0, MAX_FOLDERS);
  if (!folders.length) return null;
  return (
    <nav class="folders" aria-label="Folders">
      {folders.map(([folder, secrets]) => (
        <a key={folder} href={folderHref(folder)}>
          {folder.slice(prefix.length)} <span class="muted">{secrets}</span>
        </a>
      ))}
      {all.length > MAX_FOLDERS && (
        <span class="muted">and {formatCount(all.length - MAX_FOLDERS)} more</span>
      )}
    </nav>
  );
}
