/** Proofs in words. Pure. */

import { formatTime } from "../../../lib/time-zone";
import type { Proof } from "./api-types";

/** What it shows, and what commits to it (a hash; empty for none). */
export function proofText(proof: Proof): [string, string] {
  const { record, vault } = proof;
  switch (proof.kind) {
    case "trail":
      return record
        ? [
            `Record ${record.seq}, ${formatNanoseconds(record.at)}: ${record.actor || "nobody"} ${record.operation} ${record.target} ${record.result}`,
            record.hash,
          ]
        : ["A record", ""];
    case "checkpoint": {
      const grown = proof.grown_from ? `, grown from ${proof.grown_from} (proven)` : "";
      return [
        `${vault}: ${proof.size} records${grown}, cosigned ${formatNanoseconds(proof.at)}`,
        proof.root ?? "",
      ];
    }
    case "policy":
      return [`${vault}: bundle ${proof.version}, in force ${proof.applied}`, proof.bundle ?? ""];
    case "certificate":
      return [
        `${vault}: certificate until ${formatNanoseconds(proof.not_after)}`,
        proof.digest ?? "",
      ];
    case "reported":
      return [`${vault} says: ${proof.name} = ${proof.value}`, ""];
    case "state":
      return [
        `${proof.subject || "The organization"}: ${proof.name} was ${proof.value} from ${formatNanoseconds(proof.since)} to ${formatNanoseconds(proof.until)}`,
        "",
      ];
    case "setting":
      return [`${proof.name} = ${proof.value}`, ""];
  }
}

function formatNanoseconds(nanoseconds: number | undefined): string {
  return nanoseconds ? formatTime(nanoseconds / 1e6) : "never";
}
