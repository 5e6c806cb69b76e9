import { useState } from "preact/hooks";
import { Button } from "../../../components/button";
import { Notice } from "../../../components/states";
import { ApiError, asApiError } from "../../../lib/api";
import { startProviderSignIn } from "../../sign-in";

/** What came of a login at the provider, by the code in the address. */
const MESSAGES: Record<string, string> = {
  oidc_state: "This login was not begun in this tab, or took too long. Try again.",
  oidc_refused: "The identity provider did not let you in.",
  oidc_issuer: "Another provider has answered. Try again.",
  oidc_unavailable: "The identity provider does not answer. Try again later.",
  id_token_invalid: "What the identity provider sent does not count. Tell your administrator.",
  not_found: "This organization has no identity provider.",
  oidc_no_account:
    "The identity provider knows you, but you have no account here. Ask for an invitation.",
};

interface ProviderButtonProps {
  organization: string;
  /** The code of what went wrong at the last try. */
  errorCode: string;
  /** The link that one was invited by. */
  invitation?: string;
}

/** The way in by the organization's identity provider, for those that have one. */
export function ProviderButton({ organization, errorCode, invitation = "" }: ProviderButtonProps) {
  const [error, setError] = useState("");
  const go = async () => {
    try {
      if (!organization) throw new ApiError(0, "missing", "Which organization?");
      await startProviderSignIn(organization, invitation);
    } catch (thrown) {
      const text = asApiError(thrown);
      setError(text.status === 404 ? "This organization has no identity provider." : text.message);
    }
  };
  const shown =
    error || (errorCode && (MESSAGES[errorCode] ?? "This login did not work. Try again."));
  return (
    <>
      <Button onClick={go}>Sign in with your organization's provider</Button>
      {shown && <Notice tone="bad">{shown}</Notice>}
    </>
  );
}
