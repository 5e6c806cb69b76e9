import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

interface PageProps {
  title: string;
  /** Where it belongs: address and name of the page above. */
  parent?: { href: string; title: string };
  /** Beside the title: a state. */
  state?: ComponentChildren;
  /** At the right: what can be done here. */
  actions?: ComponentChildren;
  children: ComponentChildren;
}

/** The frame of a page. Its title takes the focus, so that a screen reader says where one is. */
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
