import { useState } from "preact/hooks";
import { asApiError, post, put } from "../../lib/api";
import { ofOrganization } from "../../lib/session";
import type { Severity } from "../../lib/types";
import { Dialog } from "../../parts/dialog";
import { Choice, Field } from "../../parts/field";
import { toast } from "../../parts/toasts";
import { Address } from "./address";
import { bodyOf, type Draft, draftOf } from "./form";
import type { Channel, Made } from "./wire";

interface EditProps {
  /** Null: a new one. */
  channel: Channel | null;
  close: () => void;
  saved: (made: Made) => void;
}

export type Change = (values: Partial<Draft>) => void;

const SEVERITIES: readonly (readonly [Severity, string])[] = [
  ["info", "Everything"],
  ["warning", "Warnings and what is critical"],
  ["critical", "Only what is critical"],
];
const KINDS = [
  ["raised", "Raised"],
  ["resolved", "Resolved"],
  ["acknowledged", "Acknowledged"],
] as const;

/** Everything that a channel is. The server's refusal is shown at the field that it names. */
export function Edit({ channel, close, saved }: EditProps) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const [draft, setDraft] = useState(() => draftOf(channel, zone));
  const [fault, setFault] = useState({ field: "", text: "" });
  const change: Change = values => setDraft(last => ({ ...last, ...values }));
  const faultOf = (field: string) =>
    fault.field.split(/[.[]/)[0] === field ? fault.text : undefined;
  const act = async () => {
    const body = bodyOf(draft, channel?.enabled ?? true);
    const path = ofOrganization(channel ? `channels/${channel.id}` : "channels");
    try {
      saved(await (channel ? put<Made>(path, body) : post<Made>(path, body)));
    } catch (thrown) {
      const { field, message } = asApiError(thrown);
      setFault({ field, text: message });
      throw thrown;
    }
    toast(`The channel ${draft.name} is saved`);
  };
  const title = channel ? `Channel ${channel.name}` : "New channel";
  return (
    <Dialog title={title} action="Save" act={act} close={close}>
      <div class="channel-form">
        <div class="columns tight">
          <Field
            label="Name"
            value={draft.name}
            change={name => change({ name })}
            fault={faultOf("name")}
            required
            maxLength={64}
          />
          <Choice
            label="By"
            value={draft.type}
            change={type => change({ type: type as Draft["type"] })}
            disabled={!!channel}
            options={[
              ["email", "Email"],
              ["webhook", "Webhook"],
              ["slack", "Slack"],
            ]}
          />
        </div>
        <Address draft={draft} change={change} channel={channel} faultOf={faultOf} />
        <What draft={draft} change={change} faultOf={faultOf} />
        <When draft={draft} change={change} faultOf={faultOf} />
      </div>
    </Dialog>
  );
}

export interface PartProps {
  draft: Draft;
  change: Change;
  faultOf: (field: string) => string | undefined;
}

function What({ draft, change, faultOf }: PartProps) {
  const turn = (kind: string) =>
    change({
      kinds: draft.kinds.includes(kind)
        ? draft.kinds.filter(each => each !== kind)
        : [...draft.kinds, kind],
    });
  return (
    <>
      <Choice
        label="Tells"
        value={draft.severity}
        change={severity => change({ severity: severity as Severity })}
        options={SEVERITIES}
      />
      <fieldset class="checks">
        <legend>When an alert is</legend>
        {KINDS.map(([kind, title]) => (
          <label key={kind}>
            <input
              type="checkbox"
              checked={draft.kinds.includes(kind)}
              onChange={() => turn(kind)}
            />
            {title}
          </label>
        ))}
      </fieldset>
      <div class="columns tight">
        <Field
          label="Only agents with a tag of"
          value={draft.tags}
          change={tags => change({ tags })}
          fault={faultOf("tags")}
          hint="Empty: all agents."
        />
        <Field
          label="Only agents named"
          value={draft.vaults}
          change={vaults => change({ vaults })}
          fault={faultOf("vaults")}
        />
      </div>
      <Field
        label="Only alerts of the codes"
        value={draft.events}
        change={events => change({ events })}
        fault={faultOf("events")}
        hint="Such as agent_offline sealed. Empty: all."
      />
    </>
  );
}

function When({ draft, change, faultOf }: PartProps) {
  return (
    <>
      <div class="columns tight">
        <Field
          label="Collect for minutes"
          type="number"
          min="0"
          value={draft.digest}
          change={digest => change({ digest })}
          fault={faultOf("digest")}
          hint="0: each at once."
        />
        <Field
          label="The same again after minutes"
          type="number"
          min="0"
          value={draft.window}
          change={window => change({ window })}
          fault={faultOf("window")}
        />
        <Field
          label="Messages an hour at most"
          type="number"
          min="1"
          value={draft.per_hour}
          change={per_hour => change({ per_hour })}
          fault={faultOf("per_hour")}
        />
      </div>
      <fieldset class="checks">
        <legend>Quiet hours</legend>
        <label>
          <input
            type="checkbox"
            checked={draft.quiet}
            onChange={() => change({ quiet: !draft.quiet })}
          />
          Send nothing during the night
        </label>
      </fieldset>
      {draft.quiet && (
        <div class="columns tight">
          <Field
            label="From"
            value={draft.begins}
            change={begins => change({ begins })}
            placeholder="22:00"
            pattern="([01][0-9]|2[0-3]):[0-5][0-9]"
            required
          />
          <Field
            label="Until"
            value={draft.ends}
            change={ends => change({ ends })}
            placeholder="07:00"
            pattern="([01][0-9]|2[0-3]):[0-5][0-9]"
            required
          />
          <Field
            label="Time zone"
            value={draft.zone}
            change={zone => change({ zone })}
            fault={faultOf("quiet")}
            required
          />
        </div>
      )}
      <Choice
        label="Waits for neither"
        value={draft.urgent}
        change={urgent => change({ urgent })}
        options={[
          ["critical", "What is critical"],
          ["warning", "Warnings and what is critical"],
          ["", "Nothing: everything waits"],
        ]}
      />
    </>
  );
}
