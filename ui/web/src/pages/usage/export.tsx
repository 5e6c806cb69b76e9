import { download } from "../../lib/save";
import { ofOrganization } from "../../lib/session";
import { Button } from "../../parts/button";
import { toastError } from "../../parts/toasts";
import { asked } from "./span";

/** The same as a table to keep: the server makes it, up to 10,000 rows. */
export function Export({ of, days }: { of: string; days?: string }) {
  const save = (format: string) => {
    const given = { ...asked(), of, format, ...(days ? { days } : {}) };
    return download(ofOrganization("usage/export"), given).catch(toastError);
  };
  return (
    <span class="line">
      <Button kind="quiet" aria-label={`CSV: ${of}`} onClick={() => save("csv")}>
        CSV
      </Button>
      <Button kind="quiet" aria-label={`JSON: ${of}`} onClick={() => save("json")}>
        JSON
      </Button>
    </span>
  );
}
