import { useEffect, useState } from "preact/hooks";
import { post } from "../../lib/api";
import type { Invitation } from "../../lib/door";
import { lookAt } from "../../lib/door";
import { invitation } from "../../lib/invitation";
import { chooseOrganization, me } from "../../lib/session";
import { Dialog } from "../../parts/dialog";
import { toast, toastError } from "../../parts/toasts";

/** Somebody who is signed in opens a link: the account becomes a member there. Once in the shell. */
export function Joining() {
  const secret = invitation.value;
  return secret ? <Join key={secret} secret={secret} /> : null;
}

function Join({ secret }: { secret: string }) {
  const [found, setFound] = useState<Invitation | null>(null);
  const close = () => {
    invitation.value = "";
  };
  useEffect(() => {
    lookAt(secret).then(setFound, error => {
      toastError(error);
      close();
    });
  }, [secret]);
  if (!found) return null;
  const { organization, role, title } = found;
  const act = async () => {
    await post("invitations/join", { secret });
    close(); // before the shell is drawn anew, which would look again
    toast(`You are a member of ${title || organization}`);
    await chooseOrganization(organization);
  };
  return (
    <Dialog title={`Join ${title || organization}?`} action="Join" act={act} close={close}>
      <p class="muted">
        Your account {me.value?.home}/{me.value?.name} becomes a member of {organization} as {role}.
        If you want an account of its own there, sign out and open the link again.
      </p>
    </Dialog>
  );
}
