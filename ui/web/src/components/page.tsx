import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

interface PageProps {
  title: string;
  /** The page above this one. */
  parent?: { href: string; title: string };
  /** Shown beside the title. */
  state?: ComponentChildren;
  /** Shown at the right. */
  actions?: ComponentChildren;
  children: ComponentChildren;
}

/** The frame of a page. The title takes the focus, so that screen readers announce the page. */
export function Page({ title, parent, state, actions, children }: PageProps) {
  const head = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} – Freehold`;
    head.current?.focus({ preventScroll: true });
    scrollTo({ top: 0 });
  }, [title]);
  return (
    <div class="page">
      <div class="page-head">
        <div class="titles">
          {parent && (
            <a class="crumb" href={parent.href}>
              {parent.title}
            </a>
          )}
          <div class="title">
            <h1 ref={head} tabIndex={-1}>
              {title}
            </h1>
            {state}
          </div>
        </div>
        {actions && <div class="actions">{actions}</div>}
      </div>
      {children}
    </div>
  );
}
