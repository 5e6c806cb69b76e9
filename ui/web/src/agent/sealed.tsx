import { useEffect, useState } from "preact/hooks";
import { ApiError, asApiError, request } from "../lib/api";
import { State } from "../parts/badge";
import { Button } from "../parts/button";
import { Facts } from "../parts/card";
import { Door } from "../parts/door";
import { Field } from "../parts/field";
import { Progress } from "../parts/progress";
import { Notice } from "../parts/states";
import { seal } from "./seal";
import type { Seal } from "./wire";

/** The vault is sealed or was never made: what that means, and the way out. */
export function Sealed({ now }: { now: Seal }) {
  useEffect(() => {
    document.title = "Sealed – Freehold";
  }, []);
  return <Door of="Freehold agent">{now.initialized ? <Closed now={now} /> : <Unmade />}</Door>;
}

function Closed({ now }: { now: Seal }) {
  return now.type === "shamir" ? <Unseal now={now} /> : <Ordered now={now} />;
}

/** With a key file only a seal that was ordered lasts; the file is where a browser is not. */
function Ordered({ now }: { now: Seal }) {
  return (
    <div class="sealed">
      <Heading />
      <Facts
        rows={[
          ["Unsealed with", "its key file"],
          ["Version", now.version],
        ]}
      />
      <p class="muted">
        Somebody has ordered this, and a restart does not end it. On the agent's machine, as its
        user: <code>freehold operator unseal --config FILE</code>.
      </p>
    </div>
  );
}

function Heading() {
  return (
    <h1 class="line">
      Sealed <State of="sealed" filled label="Serves nothing" />
    </h1>
  );
}

function Unmade() {
  return (
    <div class="sealed">
      <h1>Not initialised</h1>
      <p class="muted">
        This vault has no keys yet. Make them on its machine, where nobody looks on: the command is{" "}
        <code>freehold operator init</code>.
      </p>
    </div>
  );
}

/** Shares are offered one by one; the last one that is needed opens the vault. */
function Unseal({ now }: { now: Seal }) {
  const [share, setShare] = useState("");
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      seal.value = await offer(share.trim());
    } catch (thrown) {
      setError(asApiError(thrown));
    }
    setShare("");
    setBusy(false);
  };
  return (
    <form onSubmit={submit}>
      <Heading />
      <Facts
        rows={[
          ["Unsealed by", `${now.t} of ${now.n} shares`],
          ["Version", now.version],
        ]}
      />
      <Progress
        label="Shares offered"
        shares={[{ tone: "info", value: now.progress }]}
        total={now.t}
      />
      <Field
        label="Key share"
        type="password"
        autocomplete="off"
        required
        hint={`${now.progress} of ${now.t} offered so far`}
        value={share}
        change={setShare}
      />
      {error && <Notice tone="bad">{error.message}</Notice>}
      <Button type="submit" kind="primary" busy={busy}>
        Offer the share
      </Button>
    </form>
  );
}

async function offer(share: string): Promise<Seal> {
  const { response, body: text } = await request("/v1/sys/unseal", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ key: share }),
  });
  const told: unknown = JSON.parse(text);
  if (response.ok) return told as Seal;
  const { errors } = told as { errors?: string[] };
  throw new ApiError(response.status, "unseal", errors?.[0] ?? `status ${response.status}`);
}
