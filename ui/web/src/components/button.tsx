import type { ComponentChildren, JSX } from "preact";
import { Icon, type IconName } from "./icon";
import "./button.css";

type Kind = "plain" | "primary" | "danger" | "quiet";

interface ButtonProps extends Omit<JSX.IntrinsicElements["button"], "icon" | "size" | "ref"> {
  kind?: Kind;
  icon?: IconName;
  /** Disables the button and shows a spinner. */
  busy?: boolean;
  children: ComponentChildren;
}

export function Button(props: ButtonProps) {
  const { kind = "plain", icon, busy = false, children, disabled, ...rest } = props;
  return (
    <button
      type="button"
      {...rest}
      class={`button ${kind}`}
      disabled={busy || !!disabled}
      aria-busy={busy}
    >
      {busy ? <span class="spinner" aria-hidden="true" /> : icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

interface IconButtonProps extends Omit<JSX.IntrinsicElements["button"], "icon" | "size" | "ref"> {
  icon: IconName;
  /** The accessible name and the tooltip. */
  label: string;
}

export function IconButton({ icon, label, ...rest }: IconButtonProps) {
  return (
    <button type="button" {...rest} class="button quiet square" aria-label={label} title={label}>
      <Icon name={icon} />
    </button>
  );
}
