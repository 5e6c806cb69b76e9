import { useState } from "preact/hooks";
import { put } from "../../lib/api";
import { plural } from "../../lib/format";
import { ofOrganization } from "../../lib/session";
import type { Policy, Target } from "../../lib/types";
import { Dialog } from "../../parts/dialog";
import { Choice, Field } from "../../parts/field";
import { toast } from "../../parts/toasts";
import type { Listed } from "../fleet/rows";
import { split, targeted } from "./targets";

interface PointProps {
  policy: Policy;
  agents: readonly Listed[];
  close: () => void;
  pointed: () => void;
}

/** Whom a policy is for, with how many that is as of now. */
export function Point({ policy, agents, close, pointed }: PointProps) {
  const named = (of: "tag" | "vault") =>
    policy.targets.flatMap(target => target[of] ?? []).join(" ");
  const [whom, setWhom] = useState(policy.targets.some(({ all }) => all) ? "all" : "some");
  const [tags, setTags] = useState(named("tag"));
  const [vaults, setVaults] = useState(named("vault"));
  const targets: Target[] =
    whom === "all"
      ? [{ all: true }]
      : [...split(tags).map(tag => ({ tag })), ...split(vaults).map(vault => ({ vault }))];
  const before = targeted(agents, policy.targets);
  const after = targeted(agents, targets);
  const come = after.filter(row => !before.includes(row)).length;
  const go = before.filter(row => !after.includes(row)).length;
  const act = async () => {
    await put(ofOrganization(`policies/${policy.name}/targets`), { targets });
    toast(`${policy.name} is for ${plural(after.length, "agent")}`);
    pointed();
  };
  return (
    <Dialog title={`Whom ${policy.name} is for`} action="Save" act={act} close={close}>
      <Choice
        label="Agents"
        value={whom}
        change={setWhom}
        options={[
          ["some", "Those with a tag or of a name"],
          ["all", "All of the organization, new ones too"],
        ]}
      />
      {whom === "some" && (
        <>
          <Field
            label="Tags"
            hint={tagsOf(agents)}
            value={tags}
            change={setTags}
            autocomplete="off"
          />
          <Field label="Names" value={vaults} change={setVaults} autocomplete="off" />
        </>
      )}
      <p role="status">
        <b>{plural(after.length, "agent")}</b>
        {(come > 0 || go > 0) && (
          <span class="muted">
            {" "}
            now: {come} more, {go} fewer. {effect(policy.stable)}
          </span>
        )}
      </p>
    </Dialog>
  );
}

function effect(stable: number): string {
  return stable ? `They get version ${stable}, or lose it, at once.` : "Nobody has it yet.";
}

function tagsOf(agents: readonly Listed[]): string {
  const known = [...new Set(agents.flatMap(({ tags }) => tags))].sort();
  if (!known.length) return "No agent has a tag yet.";
  return `Known: ${known.slice(0, 8).join(", ")}${known.length > 8 ? ", …" : ""}`;
}
