import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { path } from "../lib/router";
import { cycleTheme, theme } from "../lib/theme";
import { IconButton } from "./button";
import { Icon, type IconName } from "./icon";
import { Toasts } from "./toasts";
import "./app-shell.css";

export interface NavEntry {
  href: string;
  title: string;
  icon: IconName;
  /** Address prefix of pages that belong to this entry, if it is not `href`. */
  childPath?: string;
}

/** Navigation entries under one heading. */
export interface NavGroup {
  title: string;
  entries: readonly NavEntry[];
}

interface ShellProps {
  groups: readonly NavGroup[];
  /** Shown above the navigation. */
  organizationPicker?: ComponentChildren;
  /** Shown below the navigation. */
  footer?: ComponentChildren;
  children: ComponentChildren;
}

/** `/` focuses the page's search field, unless the user is typing in a field. */
function useSearchKey(): void {
  useEffect(() => {
    const find = (event: KeyboardEvent) => {
      const typing =
        event.target instanceof Element && event.target.closest("input, textarea, select");
      const field = document.querySelector<HTMLInputElement>("input[type=search]");
      if (event.key !== "/" || typing || !field) return;
      event.preventDefault();
      field.focus();
    };
    addEventListener("keydown", find);
    return () => removeEventListener("keydown", find);
  }, []);
}

/** The frame around every page: navigation at the side, behind a button on narrow screens. */
export function AppShell({ groups, organizationPicker, footer, children }: ShellProps) {
  const [open, setOpen] = useState(false);
  const at = path.value;
  useSearchKey();
  // close the navigation when the page changes
  useEffect(() => setOpen(false), [at]);
  // before the next frame: Escape may be pressed immediately
  useLayoutEffect(() => {
    if (!open) return;
    const close = (event: KeyboardEvent) => event.key === "Escape" && setOpen(false);
    addEventListener("keydown", close);
    return () => removeEventListener("keydown", close);
  }, [open]);
  return (
    <div class={open ? "shell open" : "shell"}>
      <a class="skip button" href="#main">
        Skip to content
      </a>
      <header class="top">
        <IconButton
          icon="menu"
          label="Navigation"
          aria-expanded={open}
          aria-controls="side"
          onClick={() => setOpen(true)}
        />
        <Brand />
      </header>
      <button
        type="button"
        class="scrim"
        tabIndex={-1}
        aria-hidden="true"
        onClick={() => setOpen(false)}
      />
      <aside class="side" id="side" aria-label="Navigation">
        <Brand />
        {organizationPicker}
        <nav aria-label="Pages">
          {groups.map(({ title, entries }) => (
            <section key={title}>
              <h2>{title}</h2>
              {entries.map(entry => (
                <NavLink key={entry.href} entry={entry} at={at} />
              ))}
            </section>
          ))}
        </nav>
        <footer>
          {footer}
          <ThemeButton />
        </footer>
      </aside>
      <main class="main" id="main">
        {children}
      </main>
      <Toasts />
    </div>
  );
}

function Brand() {
  return (
    <a class="brand" href="/">
      <img src="/icon.svg" alt="" />
      Freehold
    </a>
  );
}

function NavLink({ entry: { href, title, icon, childPath }, at }: { entry: NavEntry; at: string }) {
  const plain = href.split("?")[0] ?? href;
  const isHere = at === plain;
  const isBelow = at.startsWith(`${childPath ?? plain}/`);
  return (
    <a href={href} aria-current={isHere ? "page" : isBelow ? "true" : undefined}>
      <Icon name={icon} />
      {title}
    </a>
  );
}

const THEME_ICONS = { system: "system", light: "sun", dark: "moon" } as const;

/** Cycles through the themes: system, light, dark. */
export function ThemeButton() {
  const { value } = theme;
  return <IconButton icon={THEME_ICONS[value]} label={`Theme: ${value}`} onClick={cycleTheme} />;
}
