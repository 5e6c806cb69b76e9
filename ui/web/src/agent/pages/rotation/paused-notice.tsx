import { Notice } from "../../../components/states";

export function PausedNotice() {
  return (
    <Notice tone="warn">
      Rotations are paused: none begins or goes on, at any agent of this vault, until they are
      resumed.
    </Notice>
  );
}
