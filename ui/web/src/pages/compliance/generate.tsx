import { useState } from "preact/hooks";
import { ApiError, post } from "../../lib/api";
import { setQuery } from "../../lib/router";
import { ofOrganization } from "../../lib/session";
import { Dialog } from "../../parts/dialog";
import { Choice, Field } from "../../parts/field";
import { Choose } from "./choose";
import { between, last } from "./period";
import type { Report } from "./wire";

const PERIODS = [
  ["30", "Last 30 days"],
  ["90", "Last 90 days"],
  ["365", "Last 365 days"],
  ["own", "From … to …"],
] as const;

/** Ask for a report. */
export function Generate({ close, done }: { close: () => void; done: () => void }) {
  const [title, setTitle] = useState("Evidence");
  const [chosen, setChosen] = useState<string[]>(["soc2", "iso27001", "pci-dss", "hipaa"]);
  const [period, setPeriod] = useState("90");
  const [from, setFrom] = useState("");
  const [to, setTo] = useState("");
  const act = async () => {
    const now = Date.now();
    const span = period === "own" ? between(from, to, now) : last(Number(period), now);
    if (!span) throw new ApiError(0, "period", "two dates such as 2026-01-31, in order and past");
    const body = { title, frameworks: chosen, ...span };
    const { id } = await post<Report>(ofOrganization("reports"), body);
    setQuery({ tab: "", report: id });
    done();
  };
  return (
    <Dialog title="Make a report" action="Make it" act={act} close={close}>
      <Field label="Title" value={title} change={setTitle} maxLength={128} required />
      <Choose value={chosen} change={setChosen} />
      <Choice label="Period" value={period} change={setPeriod} options={PERIODS} />
      {period === "own" && (
        <div class="columns tight">
          <Field label="From" placeholder="2026-01-01" value={from} change={setFrom} required />
          <Field label="To" placeholder="2026-03-31" value={to} change={setTo} required />
        </div>
      )}
    </Dialog>
  );
}
