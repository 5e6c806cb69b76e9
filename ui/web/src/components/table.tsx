import type { ComponentChildren, TargetedKeyboardEvent } from "preact";
import { useId, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import {
  nextOrder,
  type SortOrder,
  type SortValue,
  scrollToShow,
  sortRows,
  visibleRows,
} from "../lib/table-rows";
import { Icon } from "./icon";
import "./table.css";

export interface Column<Row> {
  /** Unique within the table. */
  name: string;
  title: string;
  cell: (row: Row) => ComponentChildren;
  /** The sort key. Without it the column is not sortable. */
  sortBy?: (row: Row) => SortValue;
  /** Right-aligned. */
  numeric?: boolean;
  /** Hidden on narrow screens. */
  wideOnly?: boolean;
  /** For columns of buttons: only screen readers see the title. */
  hideTitle?: boolean;
  /** CSS width. Columns without a width share the rest. */
  width?: string;
}

interface TableProps<Row> {
  /** Accessible name. */
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  keyOf: (row: Row) => string;
  order?: SortOrder;
  /** Called for Enter or a click on a row. */
  onOpen?: (row: Row) => void;
  /** Shown if there are no rows. */
  empty?: ComponentChildren;
  /** CSS height after which the table scrolls. */
  height?: string;
}

const ROW_HEIGHT = 36; // pixels; equals --row of styles/tokens.css
const HEAD_HEIGHT = 36;
const JUMPS: Record<string, (at: number, page: number, last: number) => number> = {
  ArrowDown: at => at + 1,
  ArrowUp: at => at - 1,
  PageDown: (at, page) => at + page,
  PageUp: (at, page) => at - page,
  Home: () => 0,
  End: (_at, _page, last) => last,
};

/**
 * A virtualized table: only rows near the viewport are in the document.
 *
 * Arrow keys, Page Up and Down, Home and End select a row; Enter opens it.
 */
export function Table<Row>(props: TableProps<Row>) {
  const { columns, rows, keyOf, onOpen } = props;
  const box = useRef<HTMLDivElement>(null);
  const [order, setOrder] = useState<SortOrder | null>(props.order ?? null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const [selected, setSelected] = useState<string | null>(null);
  const chosenId = useId();
  const by = columns.find(({ name }) => name === order?.column)?.sortBy;
  const listed = useMemo(
    () => (by && order ? sortRows(rows, by, order.descending) : rows),
    [rows, by, order],
  );
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = () => setView({ top: element.scrollTop, height: element.clientHeight });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const { first, end } = visibleRows(listed.length, ROW_HEIGHT, view.top, view.height);
  const isChosenDrawn = listed.slice(first, end).some(row => keyOf(row) === selected);
  const choose = (index: number) => {
    const row = listed[index];
    if (row === undefined) return;
    setSelected(keyOf(row));
    const top = scrollToShow(index, ROW_HEIGHT, view.top, view.height, HEAD_HEIGHT);
    if (top !== null) box.current?.scrollTo({ top });
  };
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLDivElement>) => {
    const at = listed.findIndex(row => keyOf(row) === selected);
    const row = listed[at];
    const onTable = event.target === event.currentTarget;
    if (event.key === "Enter" && onTable && row !== undefined) onOpen?.(row);
    const jump = JUMPS[event.key];
    if (!jump || !onTable) return;
    event.preventDefault();
    const last = listed.length - 1;
    const page = Math.max(1, Math.floor((view.height - HEAD_HEIGHT) / ROW_HEIGHT) - 1);
    choose(Math.min(last, Math.max(0, jump(at, page, last))));
  };
  return (
    // biome-ignore lint/a11y/useSemanticElements: the box scrolls, the table inside it is one
    <div
      class="table"
      role="group"
      aria-label={props.label}
      aria-activedescendant={isChosenDrawn ? chosenId : undefined} // announced by screen readers
      ref={box}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by the keyboard
      tabIndex={0}
      style={props.height ? { "--table-height": props.height } : undefined}
      onScroll={({ currentTarget: { scrollTop, clientHeight } }) =>
        setView({ top: scrollTop, height: clientHeight })
      }
      onKeyDown={onKeyDown}
    >
      <table aria-rowcount={listed.length + 1}>
        <thead>
          <tr>
            {columns.map(column => (
              <HeaderCell key={column.name} column={column} order={order} onSort={setOrder} />
            ))}
          </tr>
        </thead>
        <tbody>
          <Spacer rows={first} />
          {listed.slice(first, end).map((row, index) => {
            const key = keyOf(row);
            const kind = `${key === selected ? "chosen" : ""} ${onOpen ? "opens" : ""}`;
            return (
              <tr
                key={key}
                class={kind}
                aria-rowindex={first + index + 2}
                {...(key === selected ? { id: chosenId, "aria-current": "true" as const } : {})}
                onClick={event => isRowPress(event) && onOpen?.(row)}
              >
                {columns.map(column => (
                  <td key={column.name} class={classOf(column)}>
                    {column.cell(row)}
                  </td>
                ))}
              </tr>
            );
          })}
          <Spacer rows={listed.length - end} />
        </tbody>
      </table>
      {!listed.length && props.empty}
    </div>
  );
}

interface HeaderCellProps<Row> {
  column: Column<Row>;
  order: SortOrder | null;
  onSort: (order: SortOrder) => void;
}

function HeaderCell<Row>({ column, order, onSort }: HeaderCellProps<Row>) {
  const { name, title, sortBy, width, hideTitle } = column;
  const isOrdered = order?.column === name;
  return (
    <th
      scope="col"
      class={classOf(column)}
      style={width ? { width } : undefined}
      {...(isOrdered ? { "aria-sort": order.descending ? "descending" : "ascending" } : {})}
    >
      {sortBy ? (
        <button type="button" class="sort" onClick={() => onSort(nextOrder(order, name))}>
          {title}
          <Icon name="chevron" size={10} />
        </button>
      ) : (
        <span class={hideTitle ? "visually-hidden" : ""}>{title}</span>
      )}
    </th>
  );
}

/** Takes the height of the rows that are not drawn. */
function Spacer({ rows }: { rows: number }) {
  if (rows <= 0) return null;
  return (
    <tr class="space">
      <td style={{ height: `${rows * ROW_HEIGHT}px` }} />
    </tr>
  );
}

function classOf<Row>({ numeric, wideOnly }: Column<Row>): string {
  return `${numeric ? "number" : ""} ${wideOnly ? "wide" : ""}`;
}

/** False for clicks on a link or control inside the row. */
function isRowPress(event: MouseEvent): boolean {
  return event.target instanceof Element && !event.target.closest("a, button, input, label");
}
