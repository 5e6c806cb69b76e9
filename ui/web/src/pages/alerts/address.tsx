import { Choice, Field } from "../../parts/field";
import type { PartProps } from "./edit";
import type { Draft } from "./form";
import type { Channel } from "./wire";

/** Where a channel leads. What is secret is never shown: empty leaves it as it is. */
export function Address(props: PartProps & { channel: Channel | null }) {
  const { draft, change, channel, faultOf } = props;
  if (draft.type === "email") return <Mail {...props} />;
  return (
    <Field
      label="Address"
      type="url"
      value={draft.url}
      change={url => change({ url })}
      fault={faultOf("url")}
      required={!channel}
      autocomplete="off"
      placeholder="https://"
      hint={channel ? `At ${channel.host}. Empty leaves it as it is.` : "https; kept sealed."}
    />
  );
}

function Mail({ draft, change, channel, faultOf }: PartProps & { channel: Channel | null }) {
  return (
    <>
      <Field
        label="To"
        value={draft.to}
        change={to => change({ to })}
        fault={faultOf("to")}
        required
        hint="Addresses with spaces between, at most 20."
      />
      <fieldset class="checks">
        <legend>Mail server</legend>
        <label>
          <input type="checkbox" checked={draft.own} onChange={() => change({ own: !draft.own })} />
          One of our own, not the control plane's
        </label>
      </fieldset>
      {draft.own && (
        <div class="columns tight">
          <Field
            label="Host"
            value={draft.host}
            change={host => change({ host })}
            fault={faultOf("server")}
            required
          />
          <Field
            label="Port"
            type="number"
            value={draft.port}
            change={port => change({ port })}
            required
          />
          <Choice
            label="TLS"
            value={draft.tls}
            change={tls => change({ tls: tls as Draft["tls"] })}
            options={[
              ["starttls", "STARTTLS"],
              ["tls", "From the start"],
            ]}
          />
          <Field
            label="Sender"
            type="email"
            value={draft.sender}
            change={sender => change({ sender })}
            required
          />
          <Field
            label="User"
            value={draft.username}
            change={username => change({ username })}
            autocomplete="off"
          />
          <Field
            label="Password"
            type="password"
            value={draft.password}
            change={password => change({ password })}
            fault={faultOf("password")}
            autocomplete="new-password"
            hint={channel ? "Empty leaves it." : "Kept sealed."}
          />
        </div>
      )}
    </>
  );
}
