import { ofOrganization } from "../../lib/session";
import { asked } from "./span";

/** The same as a table to keep: the server makes it, up to 10,000 rows. */
export function Export({ of, days }: { of: string; days?: string }) {
  const link = (format: string) => {
    const given = { ...asked(), of, format, ...(days ? { days } : {}) };
    const pairs = Object.entries(given).map(([name, value]) => [name, String(value)]);
    return `/api/v1/${ofOrganization("usage/export")}?${new URLSearchParams(pairs)}`;
  };
  return (
    <span class="line">
      <a href={link("csv")} download={`usage-${of}.csv`} aria-label={`CSV: ${of}`}>
        CSV
      </a>
      <a href={link("json")} download={`usage-${of}.json`} aria-label={`JSON: ${of}`}>
        JSON
      </a>
    </span>
  );
}
