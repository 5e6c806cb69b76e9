import { StatusBadge } from "../../../components/badge";
import { humanize } from "../../../lib/format";
import type { LeaseState } from "../../api-types";
import { LEASE_STATES } from "../../leases";

export function LeaseBadge({ state, filled }: { state: LeaseState; filled?: boolean }) {
  const { status, meaning } = LEASE_STATES[state];
  return (
    <span title={meaning}>
      <StatusBadge status={status} label={humanize(state)} filled={!!filled} />
    </span>
  );
}
