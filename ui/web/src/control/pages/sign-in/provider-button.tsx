import { useState } from "preact/hooks";
import { Button } from "../../../components/button";
import { Notice } from "../../../components/states";
import { ApiError, asApiError } from "../../../lib/api";
import { startProviderSignIn } from "../../sign-in";

/** Messages for the error codes in the address after a failed sign-in. */
const MESSAGES: Record<string, string> = {
  oidc_state: "This sign-in was started in another tab or took too long. Try again.",
  oidc_refused: "The identity provider rejected the sign-in.",
  oidc_issuer: "The response came from a different identity provider. Try again.",
  oidc_unavailable: "The identity provider is not available. Try again later.",
  id_token_invalid: "The identity provider sent an invalid ID token. Contact your administrator.",
  not_found: "This organization has no identity provider.",
  oidc_no_account: "You have no account here. Ask for an invitation.",
};

interface ProviderButtonProps {
  organization: string;
  /** Error code of the last attempt. */
  errorCode: string;
  /** Secret of the invitation link, if there is one. */
  invitation?: string;
}

/** Signs in with the organization's identity provider. */
export function ProviderButton({ organization, errorCode, invitation = "" }: ProviderButtonProps) {
  const [error, setError] = useState("");
  const go = async () => {
    try {
      if (!organization) throw new ApiError(0, "missing", "Enter your organization first.");
      await startProviderSignIn(organization, invitation);
    } catch (thrown) {
      const text = asApiError(thrown);
      setError(text.status === 404 ? "This organization has no identity provider." : text.message);
    }
  };
  const shown = error || (errorCode && (MESSAGES[errorCode] ?? "Sign-in failed. Try again."));
  return (
    <>
      <Button onClick={go}>Sign in with identity provider</Button>
      {shown && <Notice tone="bad">{shown}</Notice>}
    </>
  );
}
