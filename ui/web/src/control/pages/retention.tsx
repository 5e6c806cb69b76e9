import { Page } from "../../components/page";
import { organization } from "../../lib/session";
import { LegalHolds } from "./retention/holds";
import { RetentionRules } from "./retention/rules";

/** How long what is kept, and the legal holds that stay deletion. */
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
