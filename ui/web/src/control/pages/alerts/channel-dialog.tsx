import { useState } from "preact/hooks";
import { CheckboxGroup } from "../../../components/checkbox-group";
import { Dialog } from "../../../components/dialog";
import { SelectField, TextField } from "../../../components/field";
import { showToast } from "../../../components/toasts";
import { asApiError, post, put } from "../../../lib/api";
import type { Severity } from "../../../lib/api-types";
import { organizationPath } from "../../../lib/session";
import type { Channel, SavedChannel } from "./api-types";
import { type ChannelDraft, channelBody, channelDraft } from "./channel-draft";

interface ChannelDialogProps {
  /** Null creates a channel. */
  channel: Channel | null;
  onClose: () => void;
  onSaved: (made: SavedChannel) => void;
}

export type ChangeDraft = (values: Partial<ChannelDraft>) => void;

const SEVERITIES: readonly (readonly [Severity, string])[] = [
  ["info", "Info and above"],
  ["warning", "Warning and above"],
  ["critical", "Critical only"],
];
const EVENT_KINDS = [
  ["raised", "Raised"],
  ["resolved", "Resolved"],
  ["acknowledged", "Acknowledged"],
] as const;

/** Creates or edits a channel. An error is shown at the field that the server names. */
export function ChannelDialog({ channel, onClose, onSaved }: ChannelDialogProps) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const [draft, setDraft] = useState(() => channelDraft(channel, zone));
  const [fault, setFault] = useState({ field: "", text: "" });
  const change: ChangeDraft = values => setDraft(last => ({ ...last, ...values }));
  const faultOf = (field: string) =>
    fault.field.split(/[.[]/)[0] === field ? fault.text : undefined;
  const submit = async () => {
    const body = channelBody(draft, channel?.enabled ?? true);
    const path = organizationPath(channel ? `channels/${channel.id}` : "channels");
    try {
      onSaved(await (channel ? put<SavedChannel>(path, body) : post<SavedChannel>(path, body)));
    } catch (thrown) {
      const { field, message } = asApiError(thrown);
      setFault({ field, text: message });
      throw thrown;
    }
    showToast(`Channel ${draft.name} saved`);
  };
  const title = channel ? `Edit channel ${channel.name}` : "Create channel";
  return (
    <Dialog title={title} submitLabel="Save" onSubmit={submit} onClose={onClose}>
      <div class="channel-form">
        <div class="columns tight">
          <TextField
            label="Name"
            value={draft.name}
            onChange={name => change({ name })}
            error={faultOf("name")}
            required
            maxLength={64}
          />
          <SelectField
            label="Type"
            value={draft.type}
            onChange={type => change({ type: type as ChannelDraft["type"] })}
            disabled={!!channel}
            options={[
              ["email", "Email"],
              ["webhook", "Webhook"],
              ["slack", "Slack"],
            ]}
          />
        </div>
        <DestinationFields draft={draft} onChange={change} channel={channel} faultOf={faultOf} />
        <FilterFields draft={draft} onChange={change} faultOf={faultOf} />
        <TimingFields draft={draft} onChange={change} faultOf={faultOf} />
      </div>
    </Dialog>
  );
}

export interface FieldGroupProps {
  draft: ChannelDraft;
  onChange: ChangeDraft;
  faultOf: (field: string) => string | undefined;
}

function FilterFields({ draft, onChange, faultOf }: FieldGroupProps) {
  return (
    <>
      <SelectField
        label="Severity"
        value={draft.severity}
        onChange={severity => onChange({ severity: severity as Severity })}
        options={SEVERITIES}
      />
      <CheckboxGroup
        label="Send when an alert is"
        options={EVENT_KINDS}
        value={draft.kinds}
        onChange={kinds => onChange({ kinds })}
        error={faultOf("kinds")}
      />
      <div class="columns tight">
        <TextField
          label="Agents with a tag"
          value={draft.tags}
          onChange={tags => onChange({ tags })}
          error={faultOf("tags")}
          hint="Leave empty for all agents."
        />
        <TextField
          label="Agents by name"
          value={draft.vaults}
          onChange={vaults => onChange({ vaults })}
          error={faultOf("vaults")}
        />
      </div>
      <TextField
        label="Alert codes"
        value={draft.events}
        onChange={events => onChange({ events })}
        error={faultOf("events")}
        hint="For example agent_offline sealed. Leave empty for all."
      />
    </>
  );
}

function TimingFields({ draft, onChange, faultOf }: FieldGroupProps) {
  return (
    <>
      <div class="columns tight">
        <TextField
          label="Digest interval (minutes)"
          type="number"
          min="0"
          value={draft.digest}
          onChange={digest => onChange({ digest })}
          error={faultOf("digest")}
          hint="0 sends each alert immediately."
        />
        <TextField
          label="Repeat interval (minutes)"
          type="number"
          min="0"
          value={draft.window}
          onChange={window => onChange({ window })}
          error={faultOf("window")}
        />
        <TextField
          label="Maximum messages per hour"
          type="number"
          min="1"
          value={draft.per_hour}
          onChange={per_hour => onChange({ per_hour })}
          error={faultOf("per_hour")}
        />
      </div>
      <fieldset class="checks">
        <legend>Quiet hours</legend>
        <label>
          <input
            type="checkbox"
            checked={draft.quiet}
            onChange={() => onChange({ quiet: !draft.quiet })}
          />
          Hold messages during quiet hours
        </label>
      </fieldset>
      {draft.quiet && (
        <div class="columns tight">
          <TextField
            label="From"
            value={draft.begins}
            onChange={begins => onChange({ begins })}
            placeholder="22:00"
            pattern="([01][0-9]|2[0-3]):[0-5][0-9]"
            required
          />
          <TextField
            label="Until"
            value={draft.ends}
            onChange={ends => onChange({ ends })}
            placeholder="07:00"
            pattern="([01][0-9]|2[0-3]):[0-5][0-9]"
            required
          />
          <TextField
            label="Time zone"
            value={draft.zone}
            onChange={zone => onChange({ zone })}
            error={faultOf("quiet")}
            required
          />
        </div>
      )}
      <SelectField
        label="Bypass digest and quiet hours"
        value={draft.urgent}
        onChange={urgent => onChange({ urgent })}
        options={[
          ["critical", "Critical only"],
          ["warning", "Warning and above"],
          ["", "Never"],
        ]}
      />
    </>
  );
}

/** The destination of a channel. Secrets are never shown; an empty field keeps the stored one. */
export function DestinationFields(props: FieldGroupProps & { channel: Channel | null }) {
  const { draft, onChange, channel, faultOf } = props;
  if (draft.type === "email") return <EmailFields {...props} />;
  return (
    <TextField
      label="Address"
      type="url"
      value={draft.url}
      onChange={url => onChange({ url })}
      error={faultOf("url")}
      required={!channel}
      autocomplete="off"
      placeholder="https://"
      hint={
        channel
          ? `Currently at ${channel.host}. Leave empty to keep it.`
          : "Must be https. Stored encrypted."
      }
    />
  );
}

function EmailFields({
  draft,
  onChange,
  channel,
  faultOf,
}: FieldGroupProps & { channel: Channel | null }) {
  return (
    <>
      <TextField
        label="To"
        value={draft.to}
        onChange={to => onChange({ to })}
        error={faultOf("to")}
        required
        hint="Up to 20 addresses, separated by spaces."
      />
      <fieldset class="checks">
        <legend>Mail server</legend>
        <label>
          <input
            type="checkbox"
            checked={draft.ownServer}
            onChange={() => onChange({ ownServer: !draft.ownServer })}
          />
          Use our own mail server instead of the control plane's
        </label>
      </fieldset>
      {draft.ownServer && (
        <div class="columns tight">
          <TextField
            label="Host"
            value={draft.host}
            onChange={host => onChange({ host })}
            error={faultOf("server")}
            required
          />
          <TextField
            label="Port"
            type="number"
            value={draft.port}
            onChange={port => onChange({ port })}
            required
          />
          <SelectField
            label="TLS"
            value={draft.tls}
            onChange={tls => onChange({ tls: tls as ChannelDraft["tls"] })}
            options={[
              ["starttls", "STARTTLS"],
              ["tls", "Implicit TLS"],
            ]}
          />
          <TextField
            label="Sender"
            type="email"
            value={draft.sender}
            onChange={sender => onChange({ sender })}
            required
          />
          <TextField
            label="User"
            value={draft.username}
            onChange={username => onChange({ username })}
            autocomplete="off"
          />
          <TextField
            label="Password"
            type="password"
            value={draft.password}
            onChange={password => onChange({ password })}
            error={faultOf("password")}
            autocomplete="new-password"
            hint={channel ? "Leave empty to keep it." : "Stored encrypted."}
          />
        </div>
      )}
    </>
  );
}
