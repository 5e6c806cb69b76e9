import { useEffect, useRef, useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button, IconButton } from "../../../components/button";
import { Card } from "../../../components/card";
import { Dialog } from "../../../components/dialog";
import { TextField } from "../../../components/field";
import { EmptyState, Notice } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { type ApiError, asApiError, post } from "../../../lib/api";
import { pluralize } from "../../../lib/format";
import { navigate } from "../../../lib/router";
import type { RunItem, RunResult } from "../../api-types";
import { parseList } from "../../key-values";
import { rotationHref } from "../../rotation-states";

/** Which secrets to rotate, and within how long they begin. */
export interface RunSelection {
  prefix: string;
  tags: string[];
  spread: string;
}

interface SelectDialogProps {
  prefix: string;
  tags: string;
  onSelect: (selection: RunSelection) => void;
  onClose: () => void;
}

/** Asks which secrets to rotate. Nothing begins yet. */
export function SelectDialog(props: SelectDialogProps) {
  const [prefix, setPrefix] = useState(props.prefix);
  const [tags, setTags] = useState(props.tags);
  const [spread, setSpread] = useState("0s");
  const [error, setError] = useState<ApiError | null>(null);
  const submit = async () => {
    const selection = {
      prefix: prefix.trim(),
      tags: parseList(tags),
      spread: spread.trim() || "0s",
    };
    setError(null);
    try {
      await post("rotations/run", { ...selection, dry_run: true, limit: 1 });
    } catch (thrown) {
      setError(asApiError(thrown));
      throw thrown;
    }
    props.onSelect(selection);
  };
  const messageFor = (...fields: string[]) =>
    error && fields.includes(error.field) ? error.message : undefined;
  return (
    <Dialog
      title="Rotate secrets by tag or folder"
      submitLabel="Preview"
      onSubmit={submit}
      onClose={props.onClose}
      isFieldError={({ field }) => ["tags", "path", "prefix", "spread"].includes(field)}
    >
      <TextField
        label="Tags"
        hint="A secret has to have all of them. Separate them with commas: env=prod, team-a"
        autocomplete="off"
        value={tags}
        onChange={setTags}
        error={messageFor("tags")}
      />
      <TextField
        label="Folder"
        hint="For example secret/app/. Leave it empty for all folders."
        autocomplete="off"
        value={prefix}
        onChange={setPrefix}
        error={messageFor("path", "prefix")}
      />
      <TextField
        label="Spread"
        hint="Each rotation begins at a time of its own within it: 0s, 15m, 2h."
        autocomplete="off"
        value={spread}
        onChange={setSpread}
        error={messageFor("spread")}
      />
      <p class="muted">The preview shows which secrets would be rotated. Nothing begins yet.</p>
    </Dialog>
  );
}

/** Status and label by outcome, or by the code of a refusal. */
const RESULTS: Record<string, [string, string]> = {
  ready: ["active", "Ready"],
  begun: ["applied", "Begun"],
  rotation_running: ["running", "Running"],
  rotation_policy_missing: ["empty", "No policy"],
  secret_not_live: ["empty", "No value"],
  permission_denied: ["denied", "Not allowed"],
};

function ResultBadge({ outcome, code, message }: RunItem) {
  const [status, label] = RESULTS[code || outcome] ?? ["failed", "Refused"];
  return (
    <span title={message}>
      <StatusBadge status={status} label={label} />
    </span>
  );
}

const COLUMNS: Column<RunItem>[] = [
  {
    name: "path",
    title: "Secret",
    cell: ({ path }) => (
      <a href={rotationHref(path)} title={path}>
        {path}
      </a>
    ),
    sortBy: row => row.path,
  },
  {
    name: "outcome",
    title: "Result",
    width: "8rem",
    cell: row => <ResultBadge {...row} />,
    sortBy: row => row.code || row.outcome,
  },
  {
    name: "message",
    title: "Reason",
    width: "24rem",
    wideOnly: true,
    cell: row => <span title={row.message}>{row.message || "–"}</span>,
  },
];

/** What is known of a run so far. `cursor` is where the next page begins. */
interface Progress {
  items: RunItem[];
  hidden: number;
  since: string;
  cursor: string;
  error: ApiError | null;
  state: "loading" | "stopped" | "over";
}

const START: Progress = {
  items: [],
  hidden: 0,
  since: "",
  cursor: "",
  error: null,
  state: "loading",
};

interface RunManyProps {
  selection: RunSelection;
  /** Called when rotations have begun. */
  onBegun: () => void;
  onClose: () => void;
}

/** Which secrets would be rotated, and with one button what became of each. */
export function RunMany({ selection, onBegun, onClose }: RunManyProps) {
  const [dry, setDry] = useState(true);
  const [progress, setProgress] = useState<Progress>(START);
  const stopped = useRef(new AbortController());
  const load = async (isDry: boolean, from: Progress) => {
    stopped.current = new AbortController();
    const { signal } = stopped.current;
    let now: Progress = { ...from, error: null, state: "loading" };
    setProgress(now);
    try {
      while (now.state === "loading") {
        const { cursor, since } = now;
        const body = { ...selection, dry_run: isDry, cursor, since };
        const page = await post<RunResult>("rotations/run", body, { signal });
        now = {
          items: [...now.items, ...page.secrets],
          hidden: now.hidden + page.hidden,
          since: page.since,
          cursor: page.cursor,
          error: null,
          state: page.cursor ? "loading" : "over",
        };
        setProgress(now);
      }
    } catch (thrown) {
      const error = signal.aborted ? null : asApiError(thrown);
      setProgress({ ...now, error, state: "stopped" });
    }
    if (!isDry) onBegun();
  };
  useEffect(() => {
    void load(true, START);
    return () => stopped.current.abort();
  }, []);
  const begin = () => {
    setDry(false);
    void load(false, { ...START, since: progress.since });
  };
  const { items, hidden, error, state } = progress;
  const count = (outcome: RunItem["outcome"]) =>
    items.filter(item => item.outcome === outcome).length;
  const ready = count("ready");
  const title = dry ? "Preview" : "Rotation of secrets";
  return (
    <Card
      title={title}
      flush
      aside={
        <span class="line">
          {state === "loading" && <Button onClick={() => stopped.current.abort()}>Stop</Button>}
          {state === "stopped" && (
            <Button onClick={() => void load(dry, progress)}>Continue</Button>
          )}
          {dry && state === "over" && ready > 0 && (
            <Button kind="primary" onClick={begin}>
              {`Rotate ${pluralize(ready, "secret")}`}
            </Button>
          )}
          {state !== "loading" && <IconButton icon="close" label="Close" onClick={onClose} />}
        </span>
      }
    >
      {error && <Notice tone="bad">{error.message}</Notice>}
      <p role="status">
        {summary(count, dry)}
        {state === "loading" && " so far"}
        {hidden > 0 &&
          `. ${pluralize(hidden, "more secret")} that you may list, but whose tags you may not read`}
        .
      </p>
      <Table
        label={title}
        columns={COLUMNS}
        rows={items}
        keyOf={({ path }) => path}
        onOpen={({ path }) => navigate(rotationHref(path))}
        height="22rem"
        empty={state === "over" && <EmptyState icon="search" title="No secrets match" />}
      />
    </Card>
  );
}

function summary(count: (outcome: RunItem["outcome"]) => number, dry: boolean): string {
  const [ready, begun, refused] = [count("ready"), count("begun"), count("refused")];
  const done = dry
    ? `${pluralize(ready, "secret")} can be rotated`
    : `${pluralize(begun, "rotation")} begun`;
  return refused ? `${done}, ${refused} cannot` : done;
}
