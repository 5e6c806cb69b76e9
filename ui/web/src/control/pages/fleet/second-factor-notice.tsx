import { useState } from "preact/hooks";
import { Button } from "../../../components/button";
import { Notice } from "../../../components/states";
import { currentUser, hasRole, inOrganization } from "../../../lib/session";
import { getStored, setStored } from "../../../lib/storage";

const KEY = "freehold-second-factor-dismissed"; // the account that dismissed it; not secret

/**
 * Asks owners and admins without a second factor to set one up. Dismissed for an account and
 * browser. Accounts without a password sign in with the identity provider, which asks for its own.
 */
export function SecondFactorNotice() {
  const user = currentUser.value;
  const account = `${user?.home}/${user?.name}`;
  const [dismissed, setDismissed] = useState(getStored(KEY));
  if (!user?.password || user.second_factor || !hasRole("admin") || dismissed === account)
    return null;
  const dismiss = () => {
    setStored(KEY, account);
    setDismissed(account);
  };
  return (
    <Notice
      tone="info"
      actions={
        <>
          <a class="button plain" href={inOrganization("/settings")}>
            Set up…
          </a>
          <Button kind="quiet" onClick={dismiss}>
            Dismiss
          </Button>
        </>
      }
    >
      Your account has no second factor: whoever learns your password can sign in as you.
    </Notice>
  );
}
