import "./style.css";
import { surface } from "../shared/canvas";
import { h } from "../shared/dom";
import { filterBox } from "../shared/filterbox";
import { show } from "../shared/session";
import { asSvg, download } from "../shared/svg";
import { type View, widget } from "../shared/widget";
import { Actions, toggleToken } from "./actions";
import { controls } from "./controls";
import { hit, type Layout, layOut, ROW, reveal, type Scroll } from "./geometry";
import { keyboard } from "./keyboard";
import { legend } from "./legend";
import { Painter, type Seen } from "./paint";
import { listen } from "./pointer";
import { Sheet, type Traits } from "./sheet";
import { similarOrder } from "./similarity";
import { sentence, tip } from "./tip";
import { tokenBar } from "./tokens";

function mount({ model, session, root, signal, theme, onTheme }: View<Traits>): void {
  const sheet = new Sheet(session, model);
  const actions = new Actions(sheet);
  const painter = new Painter(sheet);
  const seen: Seen = { hover: { row: -1, column: -1 }, cursor: actions.cursor, focused: false };

  const canvas = h("canvas", { "aria-hidden": "true" });
  const space = h("div", {}, canvas);
  const scroller = h("div", { class: "gc-heat-scroll", tabindex: -1 }, space);
  const box = filterBox(session, signal, () => rearrange());
  const bar = controls(sheet, actions, box, () => keys.help(), save);
  const prompt = tokenBar(sheet, signal, {
    hover: (column) => hover(-1, column),
    click: byToken,
  });
  const tipBox = h("div", { class: "gc-tip", role: "tooltip", hidden: true });
  const empty = h("p", { class: "gc-empty gc-muted", hidden: true }, "No feature passes the filter.");
  const foot = h("div", { class: "gc-foot" });
  const live = h("div", { class: "gc-live", "aria-live": "polite" });
  root.append(bar.element, prompt.element, scroller, empty, foot, tipBox, live);

  let layout: Layout;
  const room: Scroll = { left: 0, top: 0, width: 0, height: 0 };
  const scroll = (): Scroll => {
    room.left = scroller.scrollLeft;
    room.top = scroller.scrollTop;
    return room;
  };
  const on = surface(canvas, signal, () => {
    if (layout) painter.paint(on, layout, scroll(), theme(), { ...seen, cursor: actions.cursor });
  });

  /** The rows in sight as a file. */
  function save(): void {
    const { width, height } = on;
    const drawing = asSvg(width, height, theme().paper, (context) =>
      painter.paint({ ...on, context }, layout, scroll(), theme(), { ...seen, cursor: actions.cursor }),
    );
    download("heatmap.svg", drawing, "image/svg+xml");
  }

  /** Sizes from the room there is. */
  function resize(): void {
    on.context.font = `12px ${theme().font}`;
    const tokens = session.meta.tokens.slice(0, sheet.columns);
    const widest = Math.max(0, ...tokens.map((token) => on.context.measureText(show(token)).width));
    const longest = sheet.longest();
    const header = (model.get("grouped") ? 84 : 104) + (longest && 6.6 * longest);
    layout = layOut(scroller.clientWidth, sheet.columns, sheet.items.length, header, Math.ceil(widest));
    space.style.width = `${layout.width}px`;
    space.style.height = `${layout.height}px`;
    scroller.style.maxHeight = `${model.get("height")}px`;
    room.width = scroller.clientWidth;
    room.height = scroller.clientHeight;
    canvas.style.width = `${room.width}px`;
    canvas.style.height = `${room.height}px`;
    canvas.dataset.cells = [layout.left, layout.top, layout.column, ROW].join(" ");
    on.redraw();
  }

  function rearrange(): void {
    if (model.get("sort") === "similarity" && !sheet.similar) void ask();
    sheet.rearrange(box.filter());
    empty.hidden = sheet.items.length > 0;
    bar.update();
    resize();
  }

  async function ask(): Promise<void> {
    bar.status("comparing features …");
    try {
      sheet.similar = await similarOrder(session, sheet.rows.features, signal);
      bar.status("");
      if (model.get("sort") === "similarity") rearrange();
    } catch (error) {
      if (signal.aborted) return;
      bar.status(error instanceof Error ? error.message : String(error), true);
      if (model.get("sort") === "similarity") actions.set("sort", "influence");
    }
  }

  function recolour(): void {
    sheet.recolour();
    bar.update();
    prompt.shade(theme());
    foot.replaceChildren(...legend(sheet, theme()));
    on.redraw();
  }

  function mark(): void {
    sheet.mark();
    on.redraw();
  }

  function hover(row: number, column: number, x = -1, y = -1): void {
    seen.hover = { row, column };
    prompt.highlight(column);
    const content = x < 0 ? [] : tip(sheet, row, column);
    tipBox.hidden = content.length === 0;
    tipBox.replaceChildren(...content);
    if (content.length) {
      const [left, top] = [scroller.offsetLeft + x + 14, scroller.offsetTop + y + 16];
      tipBox.style.left = `${Math.max(4, Math.min(left, root.clientWidth - tipBox.offsetWidth - 6))}px`;
      const below = top + tipBox.offsetHeight < root.clientHeight - 4;
      tipBox.style.top = `${below ? top : Math.max(4, top - tipBox.offsetHeight - 28)}px`;
    }
    on.redraw();
  }

  function byToken(column: number): void {
    session.set({ filter: toggleToken(session.get("filter"), column) });
    const [left] = reveal(layout, scroll(), 0, column);
    scroller.scrollLeft = left;
  }

  function moved(): void {
    const { row, column } = actions.cursor;
    if (row < 0) return;
    const [left, top] = reveal(layout, scroll(), sheet.places[row], column, model.get("grouped") ? 1 : 0);
    scroller.scrollTo(left, top);
    live.textContent = sentence(sheet, row, column);
    on.redraw();
  }

  /** What lies at a point; the heading that stays at the top covers the row below it. */
  function under(x: number, y: number) {
    const found = hit(layout, scroll(), x, y);
    if (found && found.item >= 0 && model.get("grouped") && room.top > 0 && y < layout.top + ROW) {
      found.item = sheet.section(sheet.layer(Math.floor(room.top / ROW)))[0];
    }
    return found;
  }

  listen(canvas, sheet, signal, {
    hit: under,
    layout: () => layout,
    scroll,
    scrollBy: (x, y) => scroller.scrollBy(x, y),
    hover: (at, x, y) => {
      const row = at && at.item >= 0 ? sheet.items[at.item] : -1;
      hover(row, row < 0 && at?.part !== "column" ? -1 : (at?.column ?? -1), x, y);
    },
    brush: (region) => {
      seen.brush = region;
      on.redraw();
    },
    select: (region, how, whole, { item, column }) => {
      actions.select(region, how, whole, { row: sheet.items[item] ?? -1, column });
      on.redraw();
    },
    clear: () => actions.clear(),
  });
  const keys = keyboard(
    root,
    sheet,
    actions,
    { page: () => Math.max(1, Math.floor((room.height - layout.top) / ROW) - 1), moved, filter: box.input, byToken },
    signal,
  );

  scroller.addEventListener("scroll", () => hover(-1, -1), { signal, passive: true });
  for (const name of ["focusin", "focusout"] as const) {
    root.addEventListener(
      name,
      () => {
        seen.focused = name === "focusin";
        on.redraw();
      },
      { signal },
    );
  }
  const sizes = new ResizeObserver(resize);
  sizes.observe(root);
  sizes.observe(scroller);
  signal.addEventListener("abort", () => sizes.disconnect());

  const follow = (names: (keyof Traits)[], changed: () => void) => {
    for (const name of names) {
      model.on(`change:${name}`, changed);
      signal.addEventListener("abort", () => model.off(`change:${name}`, changed));
    }
  };
  follow(["sort", "show", "errors", "grouped"], rearrange);
  follow(["colour"], recolour);
  follow(["height"], resize);
  session.on(["overlay"], recolour);
  session.on(["selected"], mark);
  session.on(["notes", "known"], () => {
    mark();
    resize(); // labels take room
  });
  session.on(["drawn"], () => model.get("show") === "circuit" && rearrange());
  onTheme(() => {
    recolour();
    resize();
  });
  mark();
  recolour();
  rearrange();
}

export default widget("heatmap", "Token by feature heatmap", mount);
