import type { ComponentChildren } from "preact";
import { useAct } from "../lib/hooks";
import { Button } from "./button";
import type { IconName } from "./icon";
import { Notice } from "./states";
import "./form.css";

interface FormProps {
  /** What the button says. */
  action: string;
  icon?: IconName;
  /** Does it; what it throws is shown. */
  act: () => Promise<unknown>;
  disabled?: boolean;
  /** Beside the button. */
  also?: ComponentChildren;
  children: ComponentChildren;
}

/** Fields on a page, with one button that sends them. */
export function Form({ action, icon, act, disabled = false, also, children }: FormProps) {
  const { run, busy, error } = useAct(act);
  return (
    <form class="form-part" onSubmit={run}>
      <div class="form-fields">{children}</div>
      {error && (
        <Notice tone="bad">
          {error.message}
          {error.requestId && ` (request ${error.requestId})`}
        </Notice>
      )}
      {!disabled && (
        <div class="line">
          <Button type="submit" kind="primary" busy={busy} {...(icon ? { icon } : {})}>
            {action}
          </Button>
          {also}
        </div>
      )}
    </form>
  );
}

/** Fields beside each other where there is room, for a page that follows them as they change. */
export function Fields({ children }: { children: ComponentChildren }) {
  return <div class="form-fields">{children}</div>;
}

interface CheckProps {
  label: string;
  checked: boolean;
  change: (checked: boolean) => void;
  disabled?: boolean;
}

/** Yes or no. */
export function Check({ label, checked, change, disabled = false }: CheckProps) {
  return (
    <label class="check whole">
      <input
        type="checkbox"
        checked={checked}
        disabled={disabled}
        onChange={event => change(event.currentTarget.checked)}
      />
      {label}
    </label>
  );
}
