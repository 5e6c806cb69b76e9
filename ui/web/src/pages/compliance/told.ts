/** Proofs in words. Pure. */

import { shownMoment } from "../../lib/zone";
import type { Proof } from "./wire";

/** What it shows, and what commits to it (a hash; empty for none). */
export function told(proof: Proof): [string, string] {
  const { record, vault } = proof;
  switch (proof.kind) {
    case "trail":
      return record
        ? [
            `Record ${record.seq}, ${time(record.at)}: ${record.actor || "nobody"} ${record.operation} ${record.target} ${record.result}`,
            record.hash,
          ]
        : ["A record", ""];
    case "checkpoint": {
      const grown = proof.grown_from ? `, grown from ${proof.grown_from} (proven)` : "";
      return [
        `${vault}: ${proof.size} records${grown}, cosigned ${time(proof.at)}`,
        proof.root ?? "",
      ];
    }
    case "policy":
      return [`${vault}: bundle ${proof.version}, in force ${proof.applied}`, proof.bundle ?? ""];
    case "certificate":
      return [`${vault}: certificate until ${time(proof.not_after)}`, proof.digest ?? ""];
    case "reported":
      return [`${vault} says: ${proof.name} = ${proof.value}`, ""];
    case "state":
      return [
        `${proof.subject || "The organization"}: ${proof.name} was ${proof.value} from ${time(proof.since)} to ${time(proof.until)}`,
        "",
      ];
    case "setting":
      return [`${proof.name} = ${proof.value}`, ""];
  }
}

function time(nanoseconds: number | undefined): string {
  return nanoseconds ? shownMoment(nanoseconds / 1e6) : "never";
}
