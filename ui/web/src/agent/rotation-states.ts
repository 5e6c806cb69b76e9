import type { Rotation, RotationState } from "./api-types";

interface StateStyle {
  /** A status of `StatusBadge`. */
  status: string;
  /** What the state means and what comes next. */
  meaning: string;
}

export const STATES: Record<RotationState, StateStyle> = {
  planned: { status: "pending", meaning: "A new value is made and stored next." },
  drafted: { status: "running", meaning: "The target makes the new value next." },
  stored: { status: "running", meaning: "The target gets the new value next." },
  applied: { status: "running", meaning: "The agent logs in with the new value next." },
  verified: { status: "running", meaning: "The new value becomes the current version next." },
  current: {
    status: "running",
    meaning: "The new value is current. The old one works until applications have fetched it.",
  },
  adopted: { status: "running", meaning: "The target refuses the old value next." },
  retired: { status: "good", meaning: "The rotation is over: the target refuses the old value." },
  undoing: { status: "late", meaning: "The target is put back to the old value." },
  undone: { status: "rolled_back", meaning: "The rotation was undone: the secret is unchanged." },
  stuck: {
    status: "failed",
    meaning: "A step could not be done. Mend the cause, then try the step again.",
  },
};

const UNDOABLE = new Set<RotationState>(["planned", "drafted", "stored", "applied", "verified"]);

/** Whether the value is not current yet, so that the rotation can be undone. */
export const isUndoable = ({ state }: Rotation) => UNDOABLE.has(state);

/** Whether another rotation of the secret can begin. */
export const isOver = ({ state }: Rotation) => state === "retired" || state === "undone";

export function rotationHref(name: string): string {
  return `/rotations/one?name=${encodeURIComponent(name)}`;
}
