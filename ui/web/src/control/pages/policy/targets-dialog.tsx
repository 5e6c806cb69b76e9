import { useState } from "preact/hooks";
import { Dialog } from "../../../components/dialog";
import { SelectField, TextField } from "../../../components/field";
import { showToast } from "../../../components/toasts";
import { put } from "../../../lib/api";
import type { Policy, Target } from "../../../lib/api-types";
import { pluralize } from "../../../lib/format";
import { organizationPath } from "../../../lib/session";
import type { Agent } from "../fleet/agent-rows";
import { splitWords, targetedAgents } from "./targets";

interface TargetsDialogProps {
  policy: Policy;
  agents: readonly Agent[];
  onClose: () => void;
  onSaved: () => void;
}

/** Edits the targets of a policy and shows how many agents they select now. */
export function TargetsDialog({ policy, agents, onClose, onSaved }: TargetsDialogProps) {
  const named = (of: "tag" | "vault") =>
    policy.targets.flatMap(target => target[of] ?? []).join(" ");
  const [whom, setWhom] = useState(policy.targets.some(({ all }) => all) ? "all" : "some");
  const [tags, setTags] = useState(named("tag"));
  const [vaults, setVaults] = useState(named("vault"));
  const targets: Target[] =
    whom === "all"
      ? [{ all: true }]
      : [
          ...splitWords(tags).map(tag => ({ tag })),
          ...splitWords(vaults).map(vault => ({ vault })),
        ];
  const before = targetedAgents(agents, policy.targets);
  const after = targetedAgents(agents, targets);
  const come = after.filter(row => !before.includes(row)).length;
  const go = before.filter(row => !after.includes(row)).length;
  const submit = async () => {
    await put(organizationPath(`policies/${policy.name}/targets`), { targets });
    showToast(`${policy.name} targets ${pluralize(after.length, "agent")}`);
    onSaved();
  };
  return (
    <Dialog
      title={`Targets of ${policy.name}`}
      submitLabel="Save"
      onSubmit={submit}
      onClose={onClose}
    >
      <SelectField
        label="Agents"
        value={whom}
        onChange={setWhom}
        options={[
          ["some", "Agents by tag or name"],
          ["all", "All agents, including new ones"],
        ]}
      />
      {whom === "some" && (
        <>
          <TextField
            label="Tags"
            hint={knownTags(agents)}
            value={tags}
            onChange={setTags}
            autocomplete="off"
          />
          <TextField label="Names" value={vaults} onChange={setVaults} autocomplete="off" />
        </>
      )}
      <p role="status">
        <b>{pluralize(after.length, "agent")}</b>
        {(come > 0 || go > 0) && (
          <span class="muted">
            {" "}
            {come} added, {go} removed. {effectOf(policy.stable)}
          </span>
        )}
      </p>
    </Dialog>
  );
}

function effectOf(stable: number): string {
  return stable
    ? `Added agents get version ${stable} immediately; removed agents lose it.`
    : "No agent has the policy yet.";
}

function knownTags(agents: readonly Agent[]): string {
  const known = [...new Set(agents.flatMap(({ tags }) => tags))].sort();
  if (!known.length) return "No agent has tags yet.";
  return `Existing tags: ${known.slice(0, 8).join(", ")}${known.length > 8 ? ", …" : ""}`;
}
