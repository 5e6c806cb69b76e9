import { Page } from "../../components/page";
import { organization } from "../../lib/session";
import { LegalHolds } from "./retention/holds";
import { RetentionRules } from "./retention/rules";

/** Retention rules and legal holds. */
export default function Retention() {
  const org = organization.value;
  return (
    <Page title="Retention">
      <div class="stack" key={org}>
        <RetentionRules />
        <LegalHolds />
      </div>
    </Page>
  );
}
