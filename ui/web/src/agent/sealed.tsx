import { useEffect, useState } from "preact/hooks";
import { AuthLayout } from "../components/auth-layout";
import { StatusBadge } from "../components/badge";
import { Button } from "../components/button";
import { DescriptionList } from "../components/card";
import { TextField } from "../components/field";
import { ProgressBar } from "../components/progress";
import { Notice } from "../components/states";
import { ApiError, asApiError, fetchWithTimeout } from "../lib/api";
import type { SealStatus } from "./api-types";
import { sealStatus } from "./seal-status";

/** Shown while the vault is sealed or not initialized. */
export function Sealed({ now }: { now: SealStatus }) {
  useEffect(() => {
    document.title = "Sealed – Freehold";
  }, []);
  return (
    <AuthLayout product="Freehold agent">
      {now.initialized ? <SealedVault now={now} /> : <Uninitialized />}
    </AuthLayout>
  );
}

function SealedVault({ now }: { now: SealStatus }) {
  return now.type === "shamir" ? <ShareUnseal now={now} /> : <KeyFileUnseal now={now} />;
}

/**
 * With a key file the vault stays sealed only by an explicit seal. Unsealing needs access to the
 * file, which a browser does not have.
 */
function KeyFileUnseal({ now }: { now: SealStatus }) {
  return (
    <div class="sealed">
      <Heading />
      <DescriptionList
        rows={[
          ["Unsealed with", "Key file"],
          ["Version", now.version],
        ]}
      />
      <p class="muted">
        An operator sealed this vault; a restart does not unseal it. To unseal it, run this on the
        agent's machine as the agent's user: <code>freehold operator unseal --config FILE</code>.
      </p>
    </div>
  );
}

function Heading() {
  return (
    <h1 class="line">
      Sealed <StatusBadge status="sealed" filled label="Not serving" />
    </h1>
  );
}

function Uninitialized() {
  return (
    <div class="sealed">
      <h1>Not initialized</h1>
      <p class="muted">
        This vault has no keys yet. To create them, run this on the agent's machine:{" "}
        <code>freehold operator init</code>.
      </p>
    </div>
  );
}

/** Submits key shares one at a time. The last one needed unseals the vault. */
function ShareUnseal({ now }: { now: SealStatus }) {
  const [share, setShare] = useState("");
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      sealStatus.value = await submitShare(share.trim());
    } catch (thrown) {
      setError(asApiError(thrown));
    }
    setShare("");
    setBusy(false);
  };
  return (
    <form onSubmit={submit}>
      <Heading />
      <DescriptionList
        rows={[
          ["Unsealed with", `${now.t} of ${now.n} key shares`],
          ["Version", now.version],
        ]}
      />
      <ProgressBar
        label="Key shares entered"
        segments={[{ tone: "info", value: now.progress }]}
        total={now.t}
      />
      <TextField
        label="Key share"
        type="password"
        autocomplete="off"
        required
        hint={`${now.progress} of ${now.t} entered so far`}
        value={share}
        onChange={setShare}
      />
      {error && <Notice tone="bad">{error.message}</Notice>}
      <Button type="submit" kind="primary" busy={busy}>
        Submit share
      </Button>
    </form>
  );
}

async function submitShare(share: string): Promise<SealStatus> {
  const { response, body: text } = await fetchWithTimeout("/v1/sys/unseal", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ key: share }),
  });
  const answer: unknown = JSON.parse(text);
  if (response.ok) return answer as SealStatus;
  const { errors } = answer as { errors?: string[] };
  throw new ApiError(response.status, "unseal", errors?.[0] ?? `status ${response.status}`);
}
