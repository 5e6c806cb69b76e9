import type { Version } from "../../api-types";

/** What became of a version. */
export function versionState(version: Version): "active" | "deleted" | "destroyed" {
  if (version.destroyed) return "destroyed";
  return version.deleted_at && Date.parse(version.deleted_at) <= Date.now() ? "deleted" : "active";
}
