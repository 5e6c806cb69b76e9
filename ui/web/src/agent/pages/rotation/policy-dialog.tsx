import { useState } from "preact/hooks";
import { CheckboxGroup } from "../../../components/checkbox-group";
import { Dialog } from "../../../components/dialog";
import { SelectField, TextArea, TextField } from "../../../components/field";
import { Checkbox } from "../../../components/form";
import { type ApiError, asApiError, put } from "../../../lib/api";
import type { RotationEvent, RotationPolicy } from "../../api-types";
import {
  draftOf,
  EVENTS,
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

/** Edits how a secret is rotated. Errors are shown at their fields. */
export function PolicyDialog({ name, policy, rotators, onClose, onSaved }: PolicyDialogProps) {
  const [draft, setDraft] = useState(() => draftOf(policy));
  const [error, setError] = useState<ApiError | null>(null);
  const submit = async () => {
    setError(null);
    try {
      await put(secretPath("rotation", name), policyOf(draft, policy));
    } catch (thrown) {
      setError(asApiError(thrown));
      throw thrown;
    }
    onSaved();
  };
  const faulty = error && faultyField(error);
  const faultOf = (key: keyof PolicyDraft) => (faulty === key ? error?.message : undefined);
  const isFieldError = (thrown: ApiError) => faultyField(thrown) !== null;
  type TextName = Exclude<keyof PolicyDraft, "enabled" | "schedule" | "events">;
  const field = (key: TextName) => ({
    value: draft[key],
    onChange: (value: string) => setDraft({ ...draft, [key]: value }),
    error: faultOf(key),
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
      <TextField
        label="Maximum reads"
        hint="Rotates also after so many reads since the last rotation. 0: no limit."
        type="number"
        min="0"
        required
        {...field("max_reads")}
      />
      {(draft.schedule !== "manual" || Number(draft.max_reads) > 0) && (
        <Checkbox
          label="Schedule is on"
          checked={draft.enabled}
          onChange={enabled => setDraft({ ...draft, enabled })}
        />
      )}
      <div class="columns">
        <TextField
          label="Grace period"
          hint="The old value works at most so long after the new one is current."
          required
          {...field("grace")}
        />
        <TextField
          label="Adoption window"
          hint="The grace period ends early once everybody who fetched the old value within this time has the new one. At most 89d; 0: never."
          required
          {...field("adoption_window")}
        />
      </div>
      <TextField
        label="Attempts per step"
        hint="Then the rotation is undone, or stuck."
        type="number"
        required
        {...field("attempts")}
      />
      <div class="columns">
        <TextField label="First wait between attempts" required {...field("base")} />
        <TextField label="Longest wait" required {...field("cap")} />
      </div>
      <TextArea
        label="Notify channels"
        hint="Notification channels of the control plane, one name on each line. Empty: nobody is told."
        rows={2}
        {...field("channels")}
      />
      {draft.channels.trim() && (
        <CheckboxGroup
          label="Notify of"
          options={EVENTS}
          value={draft.events}
          onChange={events => setDraft({ ...draft, events: events as RotationEvent[] })}
          error={faultOf("events")}
        />
      )}
    </Dialog>
  );
}
