import { useState } from "preact/hooks";
import { Dialog } from "../../../components/dialog";
import { SelectField, TextArea, TextField } from "../../../components/field";
import { Checkbox } from "../../../components/form";
import { type ApiError, asApiError, put } from "../../../lib/api";
import type { RotationPolicy } from "../../api-types";
import {
  draftOf,
  faultyField,
  type PolicyDraft,
  policyOf,
  type Schedule,
} from "../../rotation-policy";
import { secretPath } from "../../secret-paths";

interface PolicyDialogProps {
  name: string;
  /** The policy that is in force, the secret's own or a folder's. */
  policy: RotationPolicy | null;
  /** The kinds of rotators. Empty if they are not known. */
  rotators: readonly string[];
  onClose: () => void;
  onSaved: () => void;
}

const SCHEDULES = [
  ["manual", "On request only"],
  ["interval", "After an interval"],
  ["cron", "At set times"],
] as const;

/** Edits how a secret is rotated. The server's errors are shown at their fields. */
export function PolicyDialog({ name, policy, rotators, onClose, onSaved }: PolicyDialogProps) {
  const [draft, setDraft] = useState(() => draftOf(policy));
  const [error, setError] = useState<ApiError | null>(null);
  const [badSettings, setBadSettings] = useState("");
  const submit = async () => {
    setError(null);
    setBadSettings("");
    try {
      await put(secretPath("rotation", name), policyOf(draft, policy));
    } catch (thrown) {
      if (thrown instanceof SyntaxError) setBadSettings(`Not JSON: ${thrown.message}`);
      setError(asApiError(thrown));
      throw thrown;
    }
    onSaved();
  };
  const faulty = error && faultyField(error);
  const isFieldError = (thrown: ApiError) => badSettings !== "" || faultyField(thrown) !== null;
  type TextName = Exclude<keyof PolicyDraft, "enabled" | "schedule">;
  const field = (key: TextName) => ({
    value: draft[key],
    onChange: (value: string) => setDraft({ ...draft, [key]: value }),
    error: (key === "config" && badSettings) || (faulty === key ? error?.message : undefined),
    autocomplete: "off",
  });
  return (
    <Dialog
      title={`Rotation policy of ${name}`}
      submitLabel="Save policy"
      onSubmit={submit}
      onClose={onClose}
      isFieldError={isFieldError}
    >
      {rotators.length ? (
        <SelectField
          label="Rotator"
          options={rotators.map(kind => [kind, kind] as const)}
          {...field("rotator")}
        />
      ) : (
        <TextField label="Rotator" required {...field("rotator")} />
      )}
      <TextArea
        label="Settings of the rotator"
        hint="A JSON object. The documentation of the rotator has its fields."
        rows={4}
        {...field("config")}
      />
      <TextField
        label="Connection"
        hint="The secret that lets the agent in at the target. Empty if there is no target."
        {...field("connection")}
      />
      <SelectField
        label="Schedule"
        value={draft.schedule}
        onChange={schedule => setDraft({ ...draft, schedule: schedule as Schedule })}
        options={SCHEDULES}
      />
      {draft.schedule === "interval" && (
        <TextField
          label="Interval"
          hint="So long after the value was written: 12h, 30d."
          required
          {...field("interval")}
        />
      )}
      {draft.schedule === "cron" && (
        <div class="columns">
          <TextField
            label="Times (cron, UTC)"
            hint="0 3 * * 0: Sundays at 3:00."
            required
            {...field("cron")}
          />
          <TextField label="Window" hint="Begins within it." required {...field("window")} />
        </div>
      )}
      {draft.schedule !== "manual" && (
        <Checkbox
          label="Schedule is on"
          checked={draft.enabled}
          onChange={enabled => setDraft({ ...draft, enabled })}
        />
      )}
      <div class="columns">
        <TextField
          label="Grace period"
          hint="The old value works so long after the new one is current."
          required
          {...field("grace")}
        />
        <TextField
          label="Attempts per step"
          hint="Then the rotation is undone, or stuck."
          type="number"
          required
          {...field("attempts")}
        />
      </div>
      <div class="columns">
        <TextField label="First wait between attempts" required {...field("base")} />
        <TextField label="Longest wait" required {...field("cap")} />
      </div>
    </Dialog>
  );
}
