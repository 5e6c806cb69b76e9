import { Button } from "../../../components/button";
import { showError } from "../../../components/toasts";
import { downloadFile } from "../../../lib/download";
import { organizationPath } from "../../../lib/session";
import { usageQuery } from "./filters";

/** Downloads a list. The server exports at most 10,000 rows. */
export function ExportButtons({ list, days }: { list: string; days?: string }) {
  const save = (format: string) => {
    const given = { ...usageQuery(), of: list, format, ...(days ? { days } : {}) };
    return downloadFile(organizationPath("usage/export"), given).catch(showError);
  };
  return (
    <span class="line">
      <Button kind="quiet" aria-label={`CSV: ${list}`} onClick={() => save("csv")}>
        CSV
      </Button>
      <Button kind="quiet" aria-label={`JSON: ${list}`} onClick={() => save("json")}>
        JSON
      </Button>
    </span>
  );
}
