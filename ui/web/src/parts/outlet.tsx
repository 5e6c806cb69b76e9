import { Component, type ComponentChildren, type ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ApiError, ASKED_WITHIN, unanswered } from "../lib/api";
import { match, type Page, type PageProps, path } from "../lib/router";
import { Page as Frame } from "./page";
import { Empty, Failure, Loading } from "./states";

/** The page that the address names, loaded when it is first opened. */
export function Outlet({ pages }: { pages: readonly Page[] }) {
  const found = match(pages, path.value);
  if (!found) return <Missing />;
  return (
    <Fence key={path.value}>
      <Lazy page={found.page} params={found.params} />
    </Fence>
  );
}

type View = ComponentType<PageProps>;
const loaded = new Map<Page, View>();

function Lazy({ page, params }: { page: Page; params: PageProps["params"] }) {
  const [turn, drawn] = useState(0);
  const again = () => drawn(last => last + 1);
  const [error, setError] = useState<ApiError | null>(null);
  useEffect(() => {
    if (loaded.has(page)) return;
    setError(null);
    const late = setTimeout(() => setError(unanswered(ASKED_WITHIN, true)), ASKED_WITHIN);
    page.load().then(
      module => {
        loaded.set(page, module.default);
        again();
      },
      () => {
        clearTimeout(late);
        setError(new ApiError(0, "outdated", "This page could not be loaded. Reload to try."));
      },
    );
    return () => clearTimeout(late);
  }, [page, turn]);
  const View = loaded.get(page);
  if (View) return <View params={params} />;
  if (!error) return <Loading />;
  const isLate = error.code === "unreachable"; // its request is still under way
  return <Failure error={error} retry={isLate ? again : () => location.reload()} />;
}

/** A fault of one page leaves the shell standing, and says that it is our fault. */
class Fence extends Component<{ children: ComponentChildren }, { failed: boolean }> {
  override state = { failed: false };

  static override getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override componentDidCatch(error: unknown): void {
    reportError(error); // on the console, as the browser does with what nobody catches
  }

  override render({ children }: { children: ComponentChildren }) {
    if (!this.state.failed) return children;
    const said = "This page has a fault. Reload to go on; if it comes back, please report it.";
    return <Failure error={new ApiError(0, "fault", said)} retry={() => location.reload()} />;
  }
}

function Missing() {
  return (
    <Frame title="Not found">
      <Empty title="There is no such page">
        The address may be mistyped. <a href="/">Go to the start</a>.
      </Empty>
    </Frame>
  );
}
