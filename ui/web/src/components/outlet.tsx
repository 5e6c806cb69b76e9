import { Component, type ComponentChildren, type ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ApiError, READ_TIMEOUT, timeoutError } from "../lib/api";
import { matchPage, type PageProps, path, type Route } from "../lib/router";
import { Page as Frame } from "./page";
import { EmptyState, ErrorState, Loading } from "./states";

/** The page of the current address, loaded on first use. */
export function Outlet({ pages }: { pages: readonly Route[] }) {
  const result = matchPage(pages, path.value);
  if (!result) return <NotFound />;
  return (
    <ErrorBoundary key={path.value}>
      <LazyPage page={result.page} params={result.params} />
    </ErrorBoundary>
  );
}

type PageComponent = ComponentType<PageProps>;
const loaded = new Map<Route, PageComponent>();

function LazyPage({ page, params }: { page: Route; params: PageProps["params"] }) {
  const [turn, drawn] = useState(0);
  const again = () => drawn(last => last + 1);
  const [error, setError] = useState<ApiError | null>(null);
  useEffect(() => {
    if (loaded.has(page)) return;
    setError(null);
    const late = setTimeout(() => setError(timeoutError(READ_TIMEOUT, true)), READ_TIMEOUT);
    page.load().then(
      module => {
        loaded.set(page, module.default);
        again();
      },
      () => {
        clearTimeout(late);
        setError(
          new ApiError(0, "outdated", "This page could not be loaded. Reload to try again."),
        );
      },
    );
    return () => clearTimeout(late);
  }, [page, turn]);
  const View = loaded.get(page);
  if (View) return <View params={params} />;
  if (!error) return <Loading />;
  const isLate = error.code === "unreachable"; // the request is still in flight
  return <ErrorState error={error} onRetry={isLate ? again : () => location.reload()} />;
}

/** Contains the failure of one page, so that the navigation stays usable. */
class ErrorBoundary extends Component<{ children: ComponentChildren }, { failed: boolean }> {
  override state = { failed: false };

  static override getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override componentDidCatch(error: unknown): void {
    reportError(error); // log it as the browser does with uncaught errors
  }

  override render({ children }: { children: ComponentChildren }) {
    if (!this.state.failed) return children;
    const message = "This page has failed. Reload it. If it fails again, report the problem.";
    return (
      <ErrorState error={new ApiError(0, "fault", message)} onRetry={() => location.reload()} />
    );
  }
}

function NotFound() {
  return (
    <Frame title="Not found">
      <EmptyState title="Page not found">
        Check the address or go to the <a href="/">start page</a>.
      </EmptyState>
    </Frame>
  );
}
