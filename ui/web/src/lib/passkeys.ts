import { ApiError } from "./api";

/** What the agent sends for `navigator.credentials`, as JSON (WebAuthn level 3). */
export type CredentialOptions = Record<string, unknown>;

/** The browser's answer, as JSON. */
export type CredentialAnswer = Record<string, unknown>;

/** Whether this browser can make and use passkeys on this page. */
export function hasPasskeys(): boolean {
  return typeof PublicKeyCredential === "function" && "credentials" in navigator;
}

/** Has an authenticator make a passkey. Throws `ApiError` if the person cancels. */
export function createPasskey(options: CredentialOptions): Promise<CredentialAnswer> {
  return answered(() =>
    navigator.credentials.create({
      publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(
        options as unknown as PublicKeyCredentialCreationOptionsJSON,
      ),
    }),
  );
}

/** Has an authenticator sign. Throws as `createPasskey`. */
export function signWithPasskey(options: CredentialOptions): Promise<CredentialAnswer> {
  return answered(() =>
    navigator.credentials.get({
      publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(
        options as unknown as PublicKeyCredentialRequestOptionsJSON,
      ),
    }),
  );
}

async function answered(ask: () => Promise<Credential | null>): Promise<CredentialAnswer> {
  try {
    const made = await ask();
    if (made instanceof PublicKeyCredential) return made.toJSON() as unknown as CredentialAnswer;
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
  }
  throw new ApiError(0, "passkey_cancelled", "No passkey was used. Try again.");
}
