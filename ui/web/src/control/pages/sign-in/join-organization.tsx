import { useEffect, useState } from "preact/hooks";
import { Dialog } from "../../../components/dialog";
import { showError, showToast } from "../../../components/toasts";
import { post } from "../../../lib/api";
import { currentUser, switchOrganization } from "../../../lib/session";
import { invitation } from "../../invitation";
import type { Invitation } from "../../sign-in";
import { getInvitation } from "../../sign-in";

/** Lets a signed-in user join by an invitation link. Rendered once, by the app. */
export function JoinOrganization() {
  const secret = invitation.value;
  return secret ? <JoinDialog key={secret} secret={secret} /> : null;
}

function JoinDialog({ secret }: { secret: string }) {
  const [result, setResult] = useState<Invitation | null>(null);
  const close = () => {
    invitation.value = "";
  };
  useEffect(() => {
    getInvitation(secret).then(setResult, error => {
      showError(error);
      close();
    });
  }, [secret]);
  if (!result) return null;
  const { organization, role, title } = result;
  const submit = async () => {
    await post("invitations/join", { secret });
    close(); // before the app renders again, which would look the invitation up again
    showToast(`You joined ${title || organization}`);
    await switchOrganization(organization);
  };
  return (
    <Dialog
      title={`Join ${title || organization}?`}
      submitLabel="Join"
      onSubmit={submit}
      onClose={close}
    >
      <p class="muted">
        Your account {currentUser.value?.home}/{currentUser.value?.name} becomes a member of{" "}
        {organization} as {role}. To create a separate account there, sign out and open the link
        again.
      </p>
    </Dialog>
  );
}
