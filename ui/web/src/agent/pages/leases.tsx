import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Button } from "../../components/button";
import { Card } from "../../components/card";
import { Dialog } from "../../components/dialog";
import { Select } from "../../components/field";
import { Page } from "../../components/page";
import { type ListPage, usePagination } from "../../components/pagination";
import { Await, EmptyState, Notice } from "../../components/states";
import { type Column, Table } from "../../components/table";
import { timeColumn } from "../../components/time-column";
import { showToast } from "../../components/toasts";
import { get, post } from "../../lib/api";
import { formatCount, pluralize } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { AGENT_LIMITS } from "../../lib/limits";
import { navigate, query, setQuery } from "../../lib/router";
import type { Lease, LeasePage } from "../api-types";
import { FilterInput } from "../filter-input";
import { countByFolder, folderOf, isStanding, leaseHref, leasesHref } from "../leases";
import { usePermission } from "../permission";
import { useRefreshAt } from "../refresh";
import { LeaseBadge } from "./lease/state-badge";
import "./pages.css";

const PAGE_SIZE = AGENT_LIMITS.leases;
const MAX_FOLDERS = 12; // more are reached by the filter
const STATES = [
  ["", "Any state"],
  ["active", "Active"],
  ["revoking", "Revoking"],
  ["irrevocable", "Irrevocable"],
  ["revoked", "Revoked"],
  ["creating", "Creating"],
] as const;

const leaseColumns = (folder: string): Column<Lease>[] => [
  {
    name: "id",
    title: "Lease",
    cell: ({ id }) => (
      <a href={leaseHref(id)} title={id}>
        {id.slice(folder.length)}
      </a>
    ),
    sortBy: row => row.id,
  },
  {
    name: "state",
    title: "State",
    width: "8rem",
    cell: row => <LeaseBadge state={row.state} />,
    sortBy: row => row.state,
  },
  {
    name: "owner",
    title: "Owner",
    width: "10rem",
    wideOnly: true,
    cell: row => <span title={row.owner_name}>{row.owner_name || "–"}</span>,
    sortBy: row => row.owner_name,
  },
  {
    name: "username",
    title: "User at the server",
    width: "14rem",
    wideOnly: true,
    cell: row => <span title={row.username}>{row.username}</span>,
  },
  timeColumn("issued", "Issued", row => row.issued_at, { sortable: true, wideOnly: true }),
  timeColumn("expires", "Expires", row => row.expires_at, { sortable: true }),
];

/** The leases of dynamic credentials that the caller may see, by folder and state. */
export default function Leases() {
  const prefix = query.value.get("prefix") ?? "";
  const state = query.value.get("state") ?? "";
  const [asks, setAsks] = useState(false);
  const chosen = { prefix, limit: PAGE_SIZE };
  const allQuery = state ? { ...chosen, state } : chosen;
  const irrevocableQuery = { ...chosen, state: "irrevocable" };
  const all = useGet<LeasePage>("leases", allQuery);
  const irrevocable = useGet<LeasePage>("leases", irrevocableQuery);
  const refresh = () => {
    for (const { reload } of [all, irrevocable]) reload();
  };
  useRefreshAt(
    [all, irrevocable],
    (all.data?.leases ?? []).map(row => row.next_at),
  );
  const folder = folderOf(prefix);
  const within = prefix.endsWith("/") ? prefix : "";
  return (
    <Page
      title="Leases"
      actions={
        <>
          <Button onClick={refresh}>Refresh</Button>
          {folder && <RevokeFolderButton folder={folder} onOpen={() => setAsks(true)} />}
        </>
      }
    >
      <div class="stack">
        <Await query={irrevocable}>
          {page =>
            page.leases.length > 0 && (
              <>
                <Notice tone="bad">
                  The users of irrevocable leases could not be dropped and may still log in. Mend
                  the cause that each lease names, then revoke the lease again.
                </Notice>
                <LeaseList
                  title="Irrevocable"
                  folder={within}
                  first={page}
                  query={irrevocableQuery}
                />
              </>
            )
          }
        </Await>
        <Await query={all}>
          {page => (
            <LeaseList title="All leases" folder={within} first={page} query={allQuery}>
              <div class="toolbar">
                <FilterInput label="Folder: database/creds/" name="prefix" value={prefix} />
                <Select
                  aria-label="State"
                  value={state}
                  onChange={value => setQuery({ state: value })}
                  options={STATES}
                />
              </div>
              <Folders prefix={prefix} leases={page.leases} />
            </LeaseList>
          )}
        </Await>
      </div>
      {asks && <RevokeFolder folder={folder} onClose={() => setAsks(false)} onDone={refresh} />}
    </Page>
  );
}

interface LeaseListProps {
  title: string;
  first: LeasePage;
  /** The folder that all of them lie in, which their rows need not say. */
  folder: string;
  query: Record<string, string | number>;
  children?: ComponentChildren;
}

function LeaseList({ title, folder, first, query, children }: LeaseListProps) {
  const found = usePagination(leasePage(first), async cursor =>
    leasePage(await get<LeasePage>("leases", { query: { ...query, cursor } })),
  );
  return (
    <Card title={title} flush aside={pluralize(found.rows.length, "lease") + found.suffix}>
      {children}
      <Table
        label={title}
        columns={leaseColumns(folder)}
        rows={found.rows}
        keyOf={({ id }) => id}
        onOpen={({ id }) => navigate(leaseHref(id))}
        height="28rem"
        empty={
          <EmptyState icon="key" title="No leases that you can see">
            A lease is made with each user that a role of a database mount creates.
          </EmptyState>
        }
      />
      {found.loadMore}
    </Card>
  );
}

function leasePage({ leases, cursor }: LeasePage): ListPage<Lease, string> {
  return { rows: leases, next: cursor };
}

function Folders({ prefix, leases }: { prefix: string; leases: readonly Lease[] }) {
  const all = [...countByFolder(leases)].filter(([folder]) => folder !== prefix);
  if (!all.length && !prefix) return null;
  return (
    <nav class="folders" aria-label="Folders">
      {prefix && <a href="/leases">All</a>}
      {all.slice(0, MAX_FOLDERS).map(([folder, count]) => (
        <a key={folder} href={leasesHref(folder)}>
          {folder} <span class="muted">{count}</span>
        </a>
      ))}
      {all.length > MAX_FOLDERS && (
        <span class="muted">and {formatCount(all.length - MAX_FOLDERS)} more</span>
      )}
    </nav>
  );
}

/** Offered to whom the revocation by this prefix is allowed. */
function RevokeFolderButton({ folder, onOpen }: { folder: string; onOpen: () => void }) {
  const allowed = usePermission("sudo", `sys/leases/revoke-prefix/${folder}`);
  if (!allowed) return null;
  return (
    <Button kind="danger" onClick={onOpen}>
      Revoke all in folder…
    </Button>
  );
}

interface RevokeFolderProps {
  folder: string;
  onClose: () => void;
  onDone: () => void;
}

function RevokeFolder({ folder, onClose, onDone }: RevokeFolderProps) {
  const found = useGet<LeasePage>("leases", { prefix: `${folder}/`, limit: PAGE_SIZE });
  const submit = async () => {
    let [count, after] = [0, ""];
    try {
      do {
        const body = { prefix: `${folder}/`, after };
        const part = await post<{ count: number; after: string }>("leases-revoke", body);
        count += part.count;
        after = part.after;
      } while (after);
    } finally {
      onDone();
    }
    showToast(`${pluralize(count, "lease")} revoked`);
  };
  return (
    <Dialog
      title="Revoke all leases in this folder?"
      submitLabel="Revoke all"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        All leases below <b>{folder}/</b> end, also those that you cannot see, and their users are
        dropped. It cannot be undone.
      </p>
      <p role="status">{found.data ? `${countStanding(found.data)} that you can see.` : "…"}</p>
    </Dialog>
  );
}

function countStanding({ leases, cursor }: LeasePage): string {
  const standing = leases.filter(isStanding).length;
  return cursor ? `At least ${pluralize(standing, "lease")}` : pluralize(standing, "lease");
}
