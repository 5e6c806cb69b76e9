import { useEffect, useState } from "preact/hooks";
import { post } from "../lib/api";
import type { Decision } from "./api-types";

/**
 * Whether the caller's policies allow something, so that a page offers only that. Null until it is
 * known. True if the agent does not say: it decides on the action itself anyway.
 */
export function usePermission(capability: string, path: string): boolean | null {
  const [allowed, setAllowed] = useState<boolean | null>(null);
  useEffect(() => {
    let left = false;
    setAllowed(null);
    post<Decision>("policies-dry-run", { capability, path })
      .then(decision => decision.allowed)
      .catch(() => true)
      .then(decided => left || setAllowed(decided));
    return () => {
      left = true;
    };
  }, [capability, path]);
  return allowed;
}
