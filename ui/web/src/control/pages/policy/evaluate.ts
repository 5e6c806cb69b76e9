import type { PolicyDocument, PolicyRule } from "../../../lib/api-types";

/** The decision of one document about an access. */
export interface Evaluation {
  effect: "allow" | "deny" | "none";
  /** The deciding rule, such as `rules[2]`. */
  rule: string;
  /** Whether the decision depends on conditions that are not evaluated here. */
  conditional: boolean;
}

/**
 * Evaluates by path and capability (docs/reference/policies.md): deny wins, and the default is deny.
 * Conditions are not evaluated, because only the agent knows the caller and the secret. A
 * conditional deny therefore does not hide an allow; both make the result conditional.
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

/** Matches a path pattern: literal, a trailing `*` for any rest, `+` for one segment. */
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
  // a rule for a folder or for its content allows listing it
  const folder = path.replace(/\/$/, "");
  const forms = capability === "list" ? [folder, `${folder}/`] : [path];
  return can && rule.paths.some(pattern => forms.some(form => matchesPath(pattern, form)));
}
