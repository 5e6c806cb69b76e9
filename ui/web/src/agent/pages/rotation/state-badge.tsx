import { StatusBadge } from "../../../components/badge";
import { humanize } from "../../../lib/format";
import type { RotationState } from "../../api-types";
import { STATES } from "../../rotation-states";

export function RotationBadge({ state, filled }: { state: RotationState; filled?: boolean }) {
  const { status, meaning } = STATES[state];
  return (
    <span title={meaning}>
      <StatusBadge status={status} label={humanize(state)} filled={!!filled} />
    </span>
  );
}
