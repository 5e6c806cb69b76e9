import { SelectField, TextField } from "../../../components/field";
import type { Channel } from "./api-types";
import type { FieldGroupProps } from "./channel-dialog";
import type { ChannelDraft } from "./channel-draft";

/** Where a channel leads. What is secret is never shown: empty leaves it as it is. */
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
      hint={channel ? `At ${channel.host}. Empty leaves it as it is.` : "https; kept sealed."}
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
        hint="Addresses with spaces between, at most 20."
      />
      <fieldset class="checks">
        <legend>Mail server</legend>
        <label>
          <input
            type="checkbox"
            checked={draft.ownServer}
            onChange={() => onChange({ ownServer: !draft.ownServer })}
          />
          One of our own, not the control plane's
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
              ["tls", "From the start"],
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
            hint={channel ? "Empty leaves it." : "Kept sealed."}
          />
        </div>
      )}
    </>
  );
}
