import { signal } from "@preact/signals";

/**
 * Step-up authentication: a request with the error `step_up` waits here until the user has
 * confirmed their identity (`control/step-up-dialog.tsx`) or has cancelled.
 */

/** Resolves the waiting request. Null if there is none. */
export const pendingStepUp = signal<((proven: boolean) => void) | null>(null);

/** Ask for a confirmation. False if the user cancels. */
export function requestStepUp(): Promise<boolean> {
  pendingStepUp.peek()?.(false);
  return new Promise(resolve => {
    pendingStepUp.value = proven => {
      pendingStepUp.value = null;
      resolve(proven);
    };
  });
}
