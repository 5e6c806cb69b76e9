import type { ComponentChildren } from "preact";
import { ThemeButton } from "./shell";
import "./door.css";

/** What stands before everything: the program's name, and one form in the middle of the window. */
export function Door({ of, children }: { of: string; children: ComponentChildren }) {
  return (
    <main class="door">
      <div class="brand">
        <img src="/icon.svg" alt="" />
        {of}
      </div>
      {children}
      <div class="line">
        <ThemeButton />
      </div>
    </main>
  );
}
