import type { ComponentChildren } from "preact";
import { signInState } from "../lib/session";
import { ThemeButton } from "./app-shell";
import { Notice } from "./states";
import "./auth-layout.css";

/** The page around a sign-in form: product name and session notice. */
export function AuthLayout({
  product,
  children,
}: {
  product: string;
  children: ComponentChildren;
}) {
  const now = signInState.value;
  return (
    <main class="auth-layout">
      <div class="brand">
        <img src="/icon.svg" alt="" />
        {product}
      </div>
      {now.state === "out" && now.ended && (
        <Notice tone="info">Your session has ended. Sign in again to return to this page.</Notice>
      )}
      {children}
      <div class="line">
        <ThemeButton />
      </div>
    </main>
  );
}
