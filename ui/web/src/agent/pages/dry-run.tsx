import { Card } from "../../components/card";
import { CodeBlock } from "../../components/code-block";
import { Page } from "../../components/page";
import { Await } from "../../components/states";
import type { PolicyDocument } from "../../lib/api-types";
import { useGet } from "../../lib/hooks";
import { DryRunForm } from "./policy/dry-run-form";
import "./pages.css";

interface EffectivePolicies {
  root: boolean;
  policies: PolicyDocument[];
  unknown: string[];
  fleet: PolicyDocument[];
}

/** Dry run of an access, and the policies of the signed-in user. */
export default function DryRun() {
  const user = useGet<EffectivePolicies>("policies-effective");
  return (
    <Page title="Dry run">
      <div class="stack">
        <DryRunForm />
        <Card title="Your policies">
          <Await query={user}>
            {found => (
              <div class="stack">
                {found.root && <p>You have the root policy, which allows everything.</p>}
                {found.unknown.length > 0 && (
                  <p>Policies that do not exist: {found.unknown.join(", ")}.</p>
                )}
                {[...found.policies, ...found.fleet].map(policy => (
                  <CodeBlock
                    key={policy.name}
                    label={`Policy ${policy.name}`}
                    text={JSON.stringify(policy, null, 2)}
                  />
                ))}
              </div>
            )}
          </Await>
        </Card>
      </div>
    </Page>
  );
}
