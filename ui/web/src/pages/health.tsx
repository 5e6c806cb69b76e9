import { useEffect, useState } from "preact/hooks";
import { ApiError } from "../lib/api";
import { State } from "../parts/badge";
import { Card, Facts } from "../parts/card";
import { Page } from "../parts/page";
import { Failure, Loading } from "../parts/states";

interface Health {
  ready: boolean;
  version: string;
}

const EVERY = 5000; // milliseconds

/** Whether this agent serves: what load balancers ask it, in words. */
export default function HealthPage() {
  const [health, setHealth] = useState<Health | ApiError | null>(null);
  useEffect(() => {
    const ending = new AbortController();
    const look = () =>
      ask(ending.signal).then(setHealth, () => {
        if (!ending.signal.aborted)
          setHealth(new ApiError(0, "unreachable", "the agent cannot be reached"));
      });
    void look();
    const timer = setInterval(look, EVERY);
    return () => {
      clearInterval(timer);
      ending.abort();
    };
  }, []);
  if (health === null) return <Loading />;
  if (health instanceof ApiError) return <Failure error={health} />;
  return (
    <Page title="Health" state={<State of={health.ready ? "serving" : "refusing"} filled />}>
      <Card title="This agent">
        <Facts
          rows={[
            ["Serves", health.ready ? "yes" : "no: sealed, or a part of it refuses"],
            ["Version", health.version || "–"],
          ]}
        />
      </Card>
    </Page>
  );
}

async function ask(signal: AbortSignal): Promise<Health> {
  const [live, ready] = await Promise.all([
    fetch("/health/live", { signal }),
    fetch("/health/ready", { signal }),
  ]);
  const told: unknown = await live.json();
  const version = typeof told === "object" && told && "version" in told ? String(told.version) : "";
  return { ready: ready.ok, version };
}
