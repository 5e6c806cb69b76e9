import { signal } from "@preact/signals";

/**
 * What is dangerous asks again who one is (`step_up`). A request that meets it waits here until a
 * person has shown it in the dialog (`parts/proof.tsx`), or has not.
 */

/** Whoever waits for the answer; null: nobody asks. */
export const pendingStepUp = signal<((proven: boolean) => void) | null>(null);

/** Ask. False: the person would rather not. */
export function requestStepUp(): Promise<boolean> {
  pendingStepUp.peek()?.(false);
  return new Promise(resolve => {
    pendingStepUp.value = proven => {
      pendingStepUp.value = null;
      resolve(proven);
    };
  });
}
