import type { PolicyDocument, PolicyRule } from "../../../lib/api-types";

/** What one document alone says of an access. Pure. */
export interface Evaluation {
  effect: "allow" | "deny" | "none";
  /** Of the rule that decides: `rules[2]`. */
  rule: string;
  /** Conditions stand in the way of a certain answer; it holds when they do. */
  conditional: boolean;
}

/**
 * Decide by path and capability, as docs/policies.md says: a denial wins, nothing is allowed that
 * no rule allows. Conditions are not evaluated, for only the agent knows the caller and the secret:
 * a denial with one does not hide an allowance, and either is told as conditional.
 */
export function evaluatePolicy(
  document: PolicyDocument,
  path: string,
  capability: string,
): Evaluation {
  const nothing: Evaluation = { effect: "none", rule: "", conditional: false };
  if (document.enabled === false) return nothing;
  const always = !document.conditions?.length;
  const result = (document.rules ?? []).flatMap((rule, index) =>
    appliesTo(rule, path, capability)
      ? [{ effect: rule.effect, rule: `rules[${index}]`, sure: always && !rule.conditions?.length }]
      : [],
  );
  const denial = result.find(({ effect, sure }) => effect === "deny" && sure);
  const doubt = result.find(({ effect }) => effect === "deny");
  const allowances = result.filter(({ effect }) => effect === "allow");
  const allowance = allowances.find(({ sure }) => sure) ?? allowances[0];
  const text = denial ?? allowance ?? doubt;
  if (!text) return nothing;
  const conditional = text !== denial && (!text.sure || doubt !== undefined);
  return { effect: text.effect, rule: text.rule, conditional };
}

/** Whether a pattern covers a path: literal, a closing `*` for what follows, `+` for one segment. */
export function matchesPath(pattern: string, path: string): boolean {
  const isOpen = pattern.endsWith("*");
  const parts = (isOpen ? pattern.slice(0, -1) : pattern).split("/");
  const last = parts.pop() ?? "";
  const given = path.split("/");
  if (isOpen ? given.length <= parts.length : given.length !== parts.length + 1) return false;
  if (!parts.every((part, index) => matchesSegment(part, given[index] ?? ""))) return false;
  const rest = given.slice(parts.length).join("/");
  return isOpen ? rest.startsWith(last) : matchesSegment(last, rest);
}

function matchesSegment(part: string, given: string): boolean {
  return part === given || (part === "+" && given !== "");
}

function appliesTo(rule: PolicyRule, path: string, capability: string): boolean {
  const can = rule.capabilities.includes("*") || rule.capabilities.includes(capability);
  // a folder is listed by a rule for itself and by one for what is in it
  const folder = path.replace(/\/$/, "");
  const forms = capability === "list" ? [folder, `${folder}/`] : [path];
  return can && rule.paths.some(pattern => forms.some(form => matchesPath(pattern, form)));
}
