import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card, DescriptionList } from "../../../components/card";
import { CodeBlock } from "../../../components/code-block";
import { Dialog } from "../../../components/dialog";
import { Await, EmptyState, Notice } from "../../../components/states";
import { RelativeTime } from "../../../components/time";
import { showError, showToast } from "../../../components/toasts";
import { post, put, remove } from "../../../lib/api";
import { formatCount, humanize, pluralize } from "../../../lib/format";
import { type Query, useGet } from "../../../lib/hooks";
import { hasRole, inOrganization, organizationPath } from "../../../lib/session";
import type { Channel, SavedChannel } from "./api-types";
import { ChannelDialog } from "./channel-dialog";
import { channelBody, channelDraft, MINUTE } from "./channel-draft";

type ChannelAction = { step: "edit" | "adopt" | "delete"; channel: Channel | null };

/** Notification channels and their health. */
export function ChannelsTab() {
  const result = useGet<Channel[]>(organizationPath("channels"));
  const [action, setAction] = useState<ChannelAction | null>(null);
  const [created, setCreated] = useState<SavedChannel | null>(null);
  const close = () => setAction(null);
  const saved = (now: SavedChannel) => {
    if (now.key) setCreated(now);
    result.reload();
  };
  return (
    <div class="stack">
      {hasRole("admin") && (
        <div class="line">
          <Button
            kind="primary"
            icon="bell"
            onClick={() => setAction({ step: "edit", channel: null })}
          >
            Create channel…
          </Button>
        </div>
      )}
      {created && <SigningKeyCard made={created} onClose={() => setCreated(null)} />}
      <Await query={result}>
        {channels => <ChannelGrid channels={channels} found={result} onAsk={setAction} />}
      </Await>
      {action?.step === "edit" && (
        <ChannelDialog channel={action.channel} onClose={close} onSaved={saved} />
      )}
      {action?.step === "adopt" && action.channel && (
        <TakeOverDialog channel={action.channel} onClose={close} onDone={result.reload} />
      )}
      {action?.step === "delete" && action.channel && (
        <DeleteDialog channel={action.channel} onClose={close} onDone={result.reload} />
      )}
    </div>
  );
}

interface ChannelGridProps {
  channels: Channel[];
  found: Query<Channel[]>;
  onAsk: (action: ChannelAction) => void;
}

function ChannelGrid({ channels, found, onAsk }: ChannelGridProps) {
  if (!channels.length)
    return (
      <EmptyState icon="bell" title="No channels yet">
        Alerts appear only in this dashboard. A channel sends them by email, webhook or Slack.
      </EmptyState>
    );
  return (
    <div class="columns">
      {channels.map(channel => (
        <ChannelCard key={channel.id} channel={channel} reload={found.reload} onAsk={onAsk} />
      ))}
    </div>
  );
}

interface ChannelCardProps {
  channel: Channel;
  reload: () => void;
  onAsk: (action: ChannelAction) => void;
}

function ChannelCard({ channel, reload, onAsk }: ChannelCardProps) {
  const [busy, setBusy] = useState(false);
  const path = organizationPath(`channels/${channel.id}`);
  const test = async () => {
    setBusy(true);
    try {
      const { sent, reason } = await post<{ sent: boolean; reason: string }>(`${path}/test`);
      if (sent) showToast(`Test message sent by ${channel.name}`);
      else showToast(`Test message not sent by ${channel.name}: ${reason}`, "bad");
      reload();
    } catch (error) {
      showError(error);
    }
    setBusy(false);
  };
  const turn = () =>
    put(path, channelBody(channelDraft(channel, ""), !channel.enabled)).then(reload, showError);
  const replay = () =>
    post<{ replayed: number }>(`${path}/replay`).then(({ replayed }) => {
      showToast(`Sending ${pluralize(replayed, "message")} again`);
      reload();
    }, showError);
  return (
    <Card title={channel.name} aside={<ChannelHealth channel={channel} />}>
      <div class="stack">
        {channel.suspended && (
          <Notice tone="warn">Suspended: {channel.suspended}. This channel sends nothing.</Notice>
        )}
        {!channel.owner && (
          <Notice tone="warn">
            No owner: this channel keeps sending after the person who set it up has left.
          </Notice>
        )}
        <DescriptionList rows={channelFacts(channel)} />
        {channel.reason && channel.failures > 0 && <p class="reason">{channel.reason}</p>}
        <div class="line">
          {hasRole("admin") && (
            <>
              {(channel.suspended || !channel.owner) && (
                <Button kind="primary" onClick={() => onAsk({ step: "adopt", channel })}>
                  Take over…
                </Button>
              )}
              {!channel.suspended && (
                <Button busy={busy} onClick={test}>
                  Test
                </Button>
              )}
              <Button onClick={() => onAsk({ step: "edit", channel })}>Edit…</Button>
              <Button onClick={turn}>{channel.enabled ? "Disable" : "Enable"}</Button>
            </>
          )}
          {channel.dead > 0 && <Button onClick={replay}>Resend dead letters</Button>}
          {hasRole("admin") && (
            <Button kind="danger" onClick={() => onAsk({ step: "delete", channel })}>
              Delete…
            </Button>
          )}
        </div>
      </div>
    </Card>
  );
}

function ChannelHealth({ channel }: { channel: Channel }) {
  if (channel.suspended) return <StatusBadge status="halted" label="Suspended" filled />;
  if (!channel.enabled) return <StatusBadge status="retired" label="Disabled" filled />;
  if (channel.failures) return <StatusBadge status="failed" label="Failing" filled />;
  return channel.sent_at ? (
    <StatusBadge status="ok" label="Working" filled />
  ) : (
    <StatusBadge status="unknown" label="Not used yet" filled />
  );
}

function channelFacts(channel: Channel): [string, preact.ComponentChildren][] {
  const { dead, digest, host, owner, quiet, sent_at, severity, tags, to, type, vaults, waiting } =
    channel;
  const only = [...tags.map(tag => `tag ${tag}`), ...vaults];
  return [
    ["Type", humanize(type)],
    ["To", type === "email" ? to.join(", ") : host],
    [
      "Severity",
      { info: "Info and above", warning: "Warning and above", critical: "Critical only" }[severity],
    ],
    ["Agents", only.length ? only.join(", ") : "All"],
    ["Digest", digest ? `Every ${digest / MINUTE} min` : "Off"],
    ["Quiet hours", quiet ? `${quiet.begins} to ${quiet.ends}, ${quiet.zone}` : "None"],
    ["Owner", owner || "None"],
    ["Last sent", <RelativeTime at={sent_at} key="sent" />],
    [
      "Waiting / dead",
      <a href={inOrganization(`/alerts?tab=deliveries&channel=${channel.id}`)} key="dead">
        {formatCount(waiting)} / {formatCount(dead)}
      </a>,
    ],
  ];
}

function SigningKeyCard({
  made: { channel, key },
  onClose,
}: {
  made: SavedChannel;
  onClose: () => void;
}) {
  return (
    <Card title={`Signing key of ${channel.name}`}>
      <div class="stack">
        <Notice tone="warn">
          Shown only once. The receiver needs this key to verify signatures.
        </Notice>
        <CodeBlock label="Signing key" text={key} />
        <div class="line">
          <Button onClick={onClose}>Done</Button>
        </div>
      </div>
    </Card>
  );
}

function TakeOverDialog({
  channel,
  onClose,
  onDone,
}: {
  channel: Channel;
  onClose: () => void;
  onDone: () => void;
}) {
  const submit = async () => {
    await post(organizationPath(`channels/${channel.id}/adopt`));
    showToast(`You own channel ${channel.name} now`);
    onDone();
  };
  const to = channel.type === "email" ? channel.to.join(", ") : channel.host;
  return (
    <Dialog
      title={`Take over ${channel.name}?`}
      submitLabel="Take over"
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        {channel.suspended ? (
          <>
            The channel sends alerts to <strong>{to}</strong> again, including{" "}
            {pluralize(channel.waiting, "waiting message")}.
          </>
        ) : (
          <>
            The channel sends alerts to <strong>{to}</strong> until your account is removed or is no
            admin any more.
          </>
        )}
      </p>
      <p class="muted">
        {channel.owner || "An account that is not recorded"} set this destination. If you do not
        recognize it, edit the channel first.
      </p>
    </Dialog>
  );
}

function DeleteDialog({
  channel,
  onClose,
  onDone,
}: {
  channel: Channel;
  onClose: () => void;
  onDone: () => void;
}) {
  const submit = async () => {
    await remove(organizationPath(`channels/${channel.id}`));
    showToast(`Channel ${channel.name} deleted`);
    onDone();
  };
  return (
    <Dialog
      title={`Delete ${channel.name}?`}
      submitLabel="Delete"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p class="muted">
        This also deletes {pluralize(channel.waiting, "waiting message")} and{" "}
        {pluralize(channel.dead, "dead letter")}.
      </p>
    </Dialog>
  );
}
