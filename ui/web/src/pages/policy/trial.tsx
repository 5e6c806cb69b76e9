import { useState } from "preact/hooks";
import type { PolicyDocument } from "../../lib/types";
import { State } from "../../parts/badge";
import { Card } from "../../parts/card";
import { Area, Choice } from "../../parts/field";
import { judge, type Verdict } from "./judge";

const CAPABILITIES = [
  "create",
  "read",
  "read_metadata",
  "update",
  "delete",
  "destroy",
  "list",
  "sudo",
].map(name => [name, name] as const);
const MOST = 100; // paths

interface TrialProps {
  document: PolicyDocument | null;
  before: PolicyDocument | null;
}

/** What this version would say of some accesses, beside what the one before says. */
export function Trial({ document, before }: TrialProps) {
  const [paths, setPaths] = useState("");
  const [capability, setCapability] = useState("read");
  const asked = [...new Set(paths.split("\n").map(path => path.trim()))].filter(Boolean);
  return (
    <Card title="Try it">
      <div class="stack">
        <Choice
          label="Capability"
          value={capability}
          change={setCapability}
          options={CAPABILITIES}
        />
        <Area
          label="Paths"
          hint="One a line, as secret/app/db. They stay in this browser."
          rows={4}
          value={paths}
          change={setPaths}
        />
        {!document && <p class="muted">Answers come when the document is valid.</p>}
        {document && !!asked.length && (
          <ul class="trial">
            {asked.slice(0, MOST).map(path => (
              <li key={path}>
                <span class="mono">{path}</span>
                <Answer
                  now={judge(document, path, capability)}
                  before={before && judge(before, path, capability)}
                />
              </li>
            ))}
          </ul>
        )}
        <p class="muted small">
          By this policy alone, path and capability. At an agent its own policies, its ceiling and
          the conditions count too.
        </p>
      </div>
    </Card>
  );
}

function Answer({ now, before }: { now: Verdict; before: Verdict | null }) {
  const changed =
    before && (before.effect !== now.effect || before.conditional !== now.conditional);
  return (
    <span class="line">
      <State of={STATES[now.effect]} label={word(now)} />
      {now.rule && <code class="muted">{now.rule}</code>}
      {changed && <span class="muted">before: {word(before).toLowerCase()}</span>}
    </span>
  );
}

const STATES = { allow: "ok", deny: "denied", none: "unknown" } as const;
const WORDS = { allow: "Allowed", deny: "Denied", none: "Not allowed" } as const;

function word({ effect, conditional }: Verdict): string {
  return WORDS[effect] + (conditional ? ", if its conditions hold" : "");
}
