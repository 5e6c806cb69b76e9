import { useState } from "preact/hooks";
import { DiffView } from "../../../components/code-block";
import { Select } from "../../../components/field";
import { Await, Notice } from "../../../components/states";
import { useGet } from "../../../lib/hooks";
import type { Version, VersionLabels, VersionLabelsPair } from "../../api-types";
import { secretPath } from "../../secret-paths";

const CURRENT = 0; // the current secret; its metadata may have changed after its newest version

interface CompareVersionsProps {
  name: string;
  /** Newest first. */
  versions: readonly Version[];
  chosen: Version;
}

/** The differences between two versions, without their values. */
export function CompareVersions({ name, versions, chosen }: CompareVersionsProps) {
  const before = versions.find(({ version }) => version < chosen.version) ?? chosen;
  const [picked, setPicked] = useState<number | null>(null);
  const known = picked === CURRENT || versions.some(({ version }) => version === picked);
  const other = picked !== null && known ? picked : before.version;
  return (
    <div class="stack">
      <span class="line">
        <span class="muted">compared with</span>
        <Select
          aria-label="Version to compare with"
          value={`${other}`}
          onChange={value => setPicked(Number(value))}
          options={[
            [`${CURRENT}`, "Current secret"],
            ...versions.map(({ version }): [string, string] => [
              `${version}`,
              `Version ${version}`,
            ]),
          ]}
        />
      </span>
      <VersionDiff name={name} versions={versions} chosen={chosen.version} other={other} />
    </div>
  );
}

interface VersionDiffProps {
  name: string;
  versions: readonly Version[];
  chosen: number;
  other: number;
}

/** Differences from the older to the newer version. `CURRENT` is the newest of all. */
function VersionDiff({ name, versions, chosen, other }: VersionDiffProps) {
  const isLater = other === CURRENT || other > chosen;
  const [from, to] = isLater ? [chosen, other] : [other, chosen];
  const result = useGet<VersionLabelsPair>(secretPath("diff", name), { from, to });
  const row = (number: number) => versions.find(({ version }) => version === number);
  if (result.error?.code === "labels_not_kept")
    return (
      <div class="stack">
        <DiffView
          label="Differences"
          before={versionFacts(row(from))}
          after={versionFacts(row(to))}
        />
        <Notice tone="info">
          Metadata and tags are not compared: one of the two versions was written before they were
          stored with each version.
        </Notice>
      </div>
    );
  return (
    <Await query={result}>
      {sides => (
        <DiffView
          label="Differences"
          before={versionFacts(row(from)) + labelLines(sides.from)}
          after={versionFacts(row(to)) + labelLines(sides.to)}
        />
      )}
    </Await>
  );
}

/** One line for each fact: author, time, state. */
function versionFacts(version: Version | undefined): string {
  if (!version) return "version: current\n";
  const { deleted_at } = version;
  return [
    `version: ${version.version}`,
    `written by: ${version.created_by}`,
    `written at: ${version.created_at}`,
    `state: ${versionState(version)}`,
    ...(deleted_at ? [`deleted at: ${deleted_at}`] : []),
    "",
  ].join("\n");
}

/** One line for each tag and each metadata key, so that the diff shows them separately. */
function labelLines({ tags, metadata }: VersionLabels): string {
  const keys = Object.keys(metadata).sort();
  return [...tags.map(tag => `tag: ${tag}`), ...keys.map(key => `${key} = ${metadata[key]}`)].join(
    "\n",
  );
}

/** The state of a version at this moment. */
export function versionState(version: Version): "active" | "deleted" | "destroyed" {
  if (version.destroyed) return "destroyed";
  return version.deleted_at && Date.parse(version.deleted_at) <= Date.now() ? "deleted" : "active";
}
