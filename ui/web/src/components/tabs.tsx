import type { ComponentChildren, TargetedKeyboardEvent } from "preact";
import { useId, useRef } from "preact/hooks";
import { query, setQuery } from "../lib/router";
import "./tabs.css";

export interface Tab {
  name: string;
  title: string;
  content: () => ComponentChildren;
}

const ARROW_STEPS: Record<string, number> = { ArrowRight: 1, ArrowLeft: -1 };

/** Tabs of a page. The query parameter `tab` selects one. Arrow keys move between tabs. */
export function Tabs({ label, tabs }: { label: string; tabs: readonly Tab[] }) {
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const wanted = query.value.get("tab");
  const open = tabs.find(({ name }) => name === wanted) ?? tabs[0];
  if (!open) return null;
  const choose = (tab: Tab) => setQuery({ tab: tab === tabs[0] ? "" : tab.name });
  const onKeyDown = ({ key }: TargetedKeyboardEvent<HTMLDivElement>) => {
    const step = ARROW_STEPS[key];
    if (!step) return;
    const index = (tabs.indexOf(open) + step + tabs.length) % tabs.length;
    const next = tabs[index];
    if (next) choose(next);
    list.current?.querySelectorAll("button")[index]?.focus();
  };
  return (
    <>
      <div class="tabs" role="tablist" aria-label={label} ref={list} onKeyDown={onKeyDown}>
        {tabs.map(tab => (
          <button
            type="button"
            role="tab"
            key={tab.name}
            id={`${id}-${tab.name}`}
            aria-selected={tab === open}
            aria-controls={`${id}-panel`}
            tabIndex={tab === open ? 0 : -1}
            onClick={() => choose(tab)}
          >
            {tab.title}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-${open.name}`}>
        {open.content()}
      </div>
    </>
  );
}
