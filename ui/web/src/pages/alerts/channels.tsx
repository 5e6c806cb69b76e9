import { useState } from "preact/hooks";
import { post, put, remove } from "../../lib/api";
import { count, plural, words } from "../../lib/format";
import { type Loaded, useGet } from "../../lib/hooks";
import { may, ofOrganization, within } from "../../lib/session";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card, Facts } from "../../parts/card";
import { Code } from "../../parts/code";
import { Dialog } from "../../parts/dialog";
import { Await, Empty, Notice } from "../../parts/states";
import { TimeAgo } from "../../parts/time";
import { toast, toastError } from "../../parts/toasts";
import { Edit } from "./edit";
import { bodyOf, draftOf, MINUTE } from "./form";
import type { Channel, Made } from "./wire";

type Asked = { step: "edit" | "adopt" | "delete"; channel: Channel | null };

/** Who is told of alerts, how, and whether it works. */
export function Channels() {
  const found = useGet<Channel[]>(ofOrganization("channels"));
  const [asked, setAsked] = useState<Asked | null>(null);
  const [made, setMade] = useState<Made | null>(null);
  const close = () => setAsked(null);
  const saved = (now: Made) => {
    if (now.key) setMade(now);
    found.reload();
  };
  return (
    <div class="stack">
      {may("admin") && (
        <div class="line">
          <Button
            kind="primary"
            icon="bell"
            onClick={() => setAsked({ step: "edit", channel: null })}
          >
            New channel…
          </Button>
        </div>
      )}
      {made && <Key made={made} close={() => setMade(null)} />}
      <Await of={found}>
        {channels => <All channels={channels} found={found} ask={setAsked} />}
      </Await>
      {asked?.step === "edit" && <Edit channel={asked.channel} close={close} saved={saved} />}
      {asked?.step === "adopt" && asked.channel && (
        <Adopt channel={asked.channel} close={close} done={found.reload} />
      )}
      {asked?.step === "delete" && asked.channel && (
        <Remove channel={asked.channel} close={close} done={found.reload} />
      )}
    </div>
  );
}

interface AllProps {
  channels: Channel[];
  found: Loaded<Channel[]>;
  ask: (asked: Asked) => void;
}

function All({ channels, found, ask }: AllProps) {
  if (!channels.length)
    return (
      <Empty icon="bell" title="Nobody is told yet">
        Alerts are listed here alone. A channel tells people by email, webhook or Slack.
      </Empty>
    );
  return (
    <div class="columns">
      {channels.map(channel => (
        <One key={channel.id} channel={channel} reload={found.reload} ask={ask} />
      ))}
    </div>
  );
}

interface OneProps {
  channel: Channel;
  reload: () => void;
  ask: (asked: Asked) => void;
}

function One({ channel, reload, ask }: OneProps) {
  const [busy, setBusy] = useState(false);
  const path = ofOrganization(`channels/${channel.id}`);
  const test = async () => {
    setBusy(true);
    try {
      const { sent, reason } = await post<{ sent: boolean; reason: string }>(`${path}/test`);
      if (sent) toast(`${channel.name} took the message`);
      else toast(`${channel.name} did not: ${reason}`, "bad");
      reload();
    } catch (error) {
      toastError(error);
    }
    setBusy(false);
  };
  const turn = () =>
    put(path, bodyOf(draftOf(channel, ""), !channel.enabled)).then(reload, toastError);
  const replay = () =>
    post<{ replayed: number }>(`${path}/replay`).then(({ replayed }) => {
      toast(`${plural(replayed, "message")} tried anew`);
      reload();
    }, toastError);
  return (
    <Card title={channel.name} aside={<Health channel={channel} />}>
      <div class="stack">
        {channel.suspended && (
          <Notice tone="warn">Suspended: {channel.suspended}. It sends nothing.</Notice>
        )}
        <Facts rows={factsOf(channel)} />
        {channel.reason && channel.failures > 0 && <p class="reason">{channel.reason}</p>}
        <div class="line">
          {may("admin") && (
            <>
              {channel.suspended ? (
                <Button kind="primary" onClick={() => ask({ step: "adopt", channel })}>
                  Take over…
                </Button>
              ) : (
                <Button busy={busy} onClick={test}>
                  Test
                </Button>
              )}
              <Button onClick={() => ask({ step: "edit", channel })}>Edit…</Button>
              <Button onClick={turn}>{channel.enabled ? "Disable" : "Enable"}</Button>
            </>
          )}
          {channel.dead > 0 && <Button onClick={replay}>Send dead letters</Button>}
          {may("admin") && (
            <Button kind="danger" onClick={() => ask({ step: "delete", channel })}>
              Delete…
            </Button>
          )}
        </div>
      </div>
    </Card>
  );
}

function Health({ channel }: { channel: Channel }) {
  if (channel.suspended) return <State of="halted" label="Suspended" filled />;
  if (!channel.enabled) return <State of="retired" label="Disabled" filled />;
  if (channel.failures) return <State of="failed" label="Failing" filled />;
  return channel.sent_at ? (
    <State of="ok" label="Works" filled />
  ) : (
    <State of="unknown" label="Not used yet" filled />
  );
}

function factsOf(channel: Channel): [string, preact.ComponentChildren][] {
  const { dead, digest, host, owner, quiet, sent_at, severity, tags, to, type, vaults, waiting } =
    channel;
  const only = [...tags.map(tag => `tag ${tag}`), ...vaults];
  return [
    ["By", words(type)],
    ["To", type === "email" ? to.join(", ") : host],
    [
      "Tells",
      { info: "everything", warning: "warnings and worse", critical: "critical" }[severity],
    ],
    ["Of", only.length ? only.join(", ") : "all agents"],
    ["Collects", digest ? `for ${digest / MINUTE} min` : "no: each at once"],
    ["Quiet", quiet ? `${quiet.begins} to ${quiet.ends}, ${quiet.zone}` : "never"],
    ["Owner", owner || "not known"],
    ["Last sent", <TimeAgo at={sent_at} key="sent" />],
    [
      "Waiting, dead",
      <a href={within(`/alerts?tab=deliveries&channel=${channel.id}`)} key="dead">
        {count(waiting)}, {count(dead)}
      </a>,
    ],
  ];
}

function Key({ made: { channel, key }, close }: { made: Made; close: () => void }) {
  return (
    <Card title={`Signing key of ${channel.name}`}>
      <div class="stack">
        <Notice tone="warn">Shown this once: the receiver needs it to check signatures.</Notice>
        <Code label="Signing key" text={key} />
        <div class="line">
          <Button onClick={close}>Done</Button>
        </div>
      </div>
    </Card>
  );
}

function Adopt({
  channel,
  close,
  done,
}: {
  channel: Channel;
  close: () => void;
  done: () => void;
}) {
  const act = async () => {
    await post(ofOrganization(`channels/${channel.id}/adopt`));
    toast(`The channel ${channel.name} is yours`);
    done();
  };
  const to = channel.type === "email" ? channel.to.join(", ") : channel.host;
  return (
    <Dialog title={`Take over ${channel.name}?`} action="Take over" act={act} close={close}>
      <p>
        It sends alerts to <strong>{to}</strong> again, and {plural(channel.waiting, "message")}{" "}
        that waited for it.
      </p>
      <p class="muted">
        {channel.owner} chose that address. If you do not know it, edit the channel first.
      </p>
    </Dialog>
  );
}

function Remove({
  channel,
  close,
  done,
}: {
  channel: Channel;
  close: () => void;
  done: () => void;
}) {
  const act = async () => {
    await remove(ofOrganization(`channels/${channel.id}`));
    toast(`The channel ${channel.name} is gone`);
    done();
  };
  return (
    <Dialog title={`Delete ${channel.name}?`} action="Delete" danger act={act} close={close}>
      <p class="muted">
        What waits for it goes too: {plural(channel.waiting, "message")} and{" "}
        {plural(channel.dead, "dead letter")}.
      </p>
    </Dialog>
  );
}
