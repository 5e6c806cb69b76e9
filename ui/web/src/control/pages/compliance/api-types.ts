/**
 * Responses of the compliance API (`/api/v1/openapi.json`), with the fields that these pages read.
 */

export type Result = "met" | "partly" | "gap" | "not_evidenced";
export type ResultCounts = Record<Result, number>;

export const RESULTS: readonly Result[] = ["met", "partly", "gap", "not_evidenced"];

export interface Framework {
  id: string;
  title: string;
  edition: string;
  about: string;
  controls: number;
}

export interface Report {
  id: string;
  title: string;
  frameworks: string[];
  since: string;
  until: string;
  state: "waiting" | "ready" | "failed";
  done: number;
  steps: number;
  created_by: string;
  created_at: string;
  made_at: string | null;
  counts: Record<string, ResultCounts>;
  digest: string;
  size: number;
  reason: string;
}

export interface Schedule {
  id: string;
  title: string;
  frameworks: string[];
  cron: string;
  zone: string;
  days: number;
  enabled: boolean;
  next_at: string;
  last_at: string | null;
  /** Why the schedule is suspended. Empty if it is not. */
  suspended: string;
}

/** A proof. `kind` says which fields are set. Times in Unix nanoseconds. */
export interface Proof {
  kind: "trail" | "checkpoint" | "policy" | "certificate" | "reported" | "state" | "setting";
  record?: {
    seq: number;
    at: number;
    actor: string;
    operation: string;
    target: string;
    result: string;
    hash: string;
  };
  vault?: string;
  subject?: string;
  since?: number;
  until?: number;
  name?: string;
  value?: string;
  at?: number;
  size?: number;
  root?: string;
  grown_from?: number;
  cosignature?: string;
  version?: number;
  applied?: number;
  bundle?: string;
  serial?: string;
  not_after?: number;
  digest?: string;
}

export interface Evidence {
  id: string;
  title: string;
  result: Result;
  summary: string;
  exceptions: string[];
  proofs: Proof[];
  total: number;
  lacking: string;
}

export interface Note {
  id: string;
  by: string;
  at: number;
  text: string;
  name: string;
  digest: string;
}

export interface Control {
  framework: string;
  id: string;
  title: string;
  statement: string;
  result: Result;
  evidence: string[];
  by_hand: string;
  notes: Note[];
}

export interface ReportContentData {
  header: {
    frameworks: Record<string, string>;
    counts: Record<string, ResultCounts>;
    trail: { size: number; hash: string };
  };
  evidence: Record<string, Evidence>;
  controls: Control[];
}

export interface ReportVerification {
  digest: string;
  whole: boolean;
  faults: string[];
  key: string;
}
