import { useState } from "preact/hooks";
import { api } from "../../../agent/paths";
import type { Side, Sides, Version } from "../../../agent/wire";
import { useGet } from "../../../lib/hooks";
import { Diff } from "../../../parts/code";
import { Select } from "../../../parts/field";
import { Await, Notice } from "../../../parts/states";
import { stateOf } from "./version";

const NOW = 0; // the secret as it is, which may be described otherwise than its newest version

interface CompareProps {
  name: string;
  /** Newest first. */
  versions: readonly Version[];
  chosen: Version;
}

/** What is different between two versions, as far as it is no secret. */
export function Compare({ name, versions, chosen }: CompareProps) {
  const before = versions.find(({ version }) => version < chosen.version) ?? chosen;
  const [picked, setPicked] = useState<number | null>(null);
  const known = picked === NOW || versions.some(({ version }) => version === picked);
  const other = picked !== null && known ? picked : before.version;
  return (
    <div class="stack">
      <span class="line">
        <span class="muted">beside</span>
        <Select
          aria-label="Version to compare with"
          value={`${other}`}
          change={value => setPicked(Number(value))}
          options={[
            [`${NOW}`, "The secret as it is now"],
            ...versions.map(({ version }): [string, string] => [
              `${version}`,
              `Version ${version}`,
            ]),
          ]}
        />
      </span>
      <Difference name={name} versions={versions} chosen={chosen.version} other={other} />
    </div>
  );
}

interface DifferenceProps {
  name: string;
  versions: readonly Version[];
  chosen: number;
  other: number;
}

/** From the older to the newer one; what is now is the newest of all. */
function Difference({ name, versions, chosen, other }: DifferenceProps) {
  const isLater = other === NOW || other > chosen;
  const [from, to] = isLater ? [chosen, other] : [other, chosen];
  const found = useGet<Sides>(api("diff", name), { from, to });
  const row = (number: number) => versions.find(({ version }) => version === number);
  if (found.error?.code === "labels_not_kept")
    return (
      <div class="stack">
        <Diff label="What is different" before={life(row(from))} after={life(row(to))} />
        <Notice tone="info">
          Metadata and tags are not compared: one of the two was written before they were kept with
          each version.
        </Notice>
      </div>
    );
  return (
    <Await of={found}>
      {sides => (
        <Diff
          label="What is different"
          before={life(row(from)) + labels(sides.from)}
          after={life(row(to)) + labels(sides.to)}
        />
      )}
    </Await>
  );
}

/** Who wrote it when and what became of it, a line each. */
function life(version: Version | undefined): string {
  if (!version) return "version: as it is now\n";
  const { deleted_at } = version;
  return [
    `version: ${version.version}`,
    `written by: ${version.created_by}`,
    `written at: ${version.created_at}`,
    `state: ${stateOf(version)}`,
    ...(deleted_at ? [`deleted at: ${deleted_at}`] : []),
    "",
  ].join("\n");
}

/** Each tag and each key of the metadata is a line of its own. */
function labels({ tags, metadata }: Side): string {
  const keys = Object.keys(metadata).sort();
  return [...tags.map(tag => `tag: ${tag}`), ...keys.map(key => `${key} = ${metadata[key]}`)].join(
    "\n",
  );
}
