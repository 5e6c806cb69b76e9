import { useState } from "preact/hooks";
import { ApiError, asApiError } from "../../lib/api";
import { goToProvider } from "../../lib/door";
import { Button } from "../../parts/button";
import { Notice } from "../../parts/states";

/** What came of a login at the provider, by the code in the address. */
const TOLD: Record<string, string> = {
  oidc_state: "This login was not begun in this tab, or took too long. Try again.",
  oidc_refused: "The identity provider did not let you in.",
  oidc_issuer: "Another provider has answered. Try again.",
  oidc_unavailable: "The identity provider does not answer. Try again later.",
  id_token_invalid: "What the identity provider sent does not count. Tell your administrator.",
  not_found: "This organization has no identity provider.",
  oidc_no_account:
    "The identity provider knows you, but you have no account here. Ask for an invitation.",
};

interface FederatedProps {
  organization: string;
  /** The code of what went wrong at the last try. */
  failed: string;
  /** The link that one was invited by. */
  invitation?: string;
}

/** The way in by the organization's identity provider, for those that have one. */
export function Federated({ organization, failed, invitation = "" }: FederatedProps) {
  const [error, setError] = useState("");
  const go = async () => {
    try {
      if (!organization) throw new ApiError(0, "missing", "Which organization?");
      await goToProvider(organization, invitation);
    } catch (thrown) {
      const told = asApiError(thrown);
      setError(told.status === 404 ? "This organization has no identity provider." : told.message);
    }
  };
  const shown = error || (failed && (TOLD[failed] ?? "This login did not work. Try again."));
  return (
    <>
      <Button onClick={go}>Sign in with your organization's provider</Button>
      {shown && <Notice tone="bad">{shown}</Notice>}
    </>
  );
}
