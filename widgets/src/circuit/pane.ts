// The subgraph: pinned nodes and groups as boxes, laid out, dragged and named by hand.
import { floats, integers } from "../shared/columns";
import { debounced, h, svg } from "../shared/dom";
import type { View } from "../shared/widget";
import type { Actions } from "./actions";
import { makeBox, type Shown } from "./box";
import type { Scene } from "./scene";
import { arrange, type Box, between, boxes, type Edges, freePlace, type Size } from "./subgraph";
import { icon } from "./toolbar";
import { wires } from "./wires";

const PATIENCE = 8000;

export interface Pane {
  element: HTMLElement;
  /** Lets the box of the selection be renamed, if it is one. */
  rename(): boolean;
}

/** Follows pins and groups; `scene` gives what is drawn, `show` brings the keyboard to a node. */
export function pane(view: View<object>, actions: Actions, scene: () => Scene, show: (node: number) => void): Pane {
  const { session, signal } = view;
  const lines = svg("svg", { class: "gc-wires", "aria-hidden": "true" });
  const room = h("div", { class: "gc-room" }, lines);
  const body = h("div", { class: "gc-pane-body" }, room);
  const note = h("span", { class: "gc-muted" });
  const small = icon("–", "Minimise the subgraph", () => {
    body.hidden = !body.hidden;
    small.setAttribute("aria-expanded", String(!body.hidden));
    small.textContent = body.hidden ? "+" : "–";
    if (!body.hidden) update();
  });
  const button = (text: string, title: string, press: () => void) =>
    h("button", { type: "button", title, onclick: press }, text);
  const element = h(
    "section",
    { class: "gc-pane", "aria-label": "Subgraph" },
    grip(body),
    h(
      "div",
      { class: "gc-bar" },
      h("strong", {}, "Subgraph"),
      button("Group", "Group the selected nodes (G)", () => group()),
      button("Ungroup", "Take the selected groups apart (U)", () => actions.ungroup(actions.selected)),
      button("Rename", "Rename the selected box (F2)", () => rename()),
      button("Unpin", "Unpin the selected nodes (P)", () => actions.pin(pinnedOf(actions.selected))),
      button("Arrange", "Lay all boxes out anew", () => actions.arrange()),
      note,
      small,
    ),
    body,
  );
  const shown = new Map<number | string, Shown>();
  let list: Box[] = [];
  let places: [number, number][] = [];
  let edges: Edges = { source: [], target: [], weight: [] };
  let known = "";
  let asked = new AbortController();
  let dragged: Map<number | string, [number, number]> | undefined;

  const pinnedOf = (nodes: number[]) => {
    const pinned = new Set(session.get("notes").pinned);
    return nodes.filter((node) => pinned.has(node));
  };

  function group(): void {
    const name = actions.group(actions.selected);
    if (name !== undefined) shown.get(name)?.rename();
  }

  function rename(): boolean {
    const key = actions.box();
    const own = key === undefined ? undefined : shown.get(key);
    own?.rename();
    return own !== undefined;
  }

  /** The edges among the nodes: all of them from the kernel, or those drawn where there is none. */
  async function wire(): Promise<void> {
    const nodes = list.flatMap((box) => box.nodes);
    const key = nodes.join();
    if (key === known) return;
    known = key;
    asked.abort();
    asked = new AbortController();
    const own = asked.signal;
    if (!nodes.length) return;
    try {
      const patience = AbortSignal.any([signal, own, AbortSignal.timeout(PATIENCE)]);
      const [, bytes] = await session.ask<number>("among", nodes, patience);
      if (own.aborted) return;
      edges = { source: integers(bytes[0]), target: integers(bytes[1]), weight: floats(bytes[2]) };
      note.textContent = "";
    } catch {
      if (own.aborted || signal.aborted) return;
      edges = session.drawn;
      note.textContent = "Drawn edges only: the others need a running kernel.";
    }
    paint();
  }

  function place(): void {
    const sizes = list.map(({ key }): Size => shown.get(key)?.size() ?? { width: 0, height: 0 });
    const { layer, position } = session.nodes;
    const { place: at, drawn } = scene();
    const mean = (nodes: number[], value: (node: number) => number) =>
      nodes.reduce((sum, node) => sum + value(node), 0) / nodes.length;
    const whole = drawn.columns[drawn.columns.length - 1] || 1;
    const x = (node: number) =>
      at[node] >= 0
        ? drawn.x[at[node]] / whole
        : (drawn.columns[position[node]] + drawn.columns[position[node] + 1]) / 2 / whole;
    const stored = new Map(session.get("notes").positions.map(([key, px, py]) => [key, [px, py] as [number, number]]));
    const found = arrange(
      list.map(({ nodes }) => Math.round(mean(nodes, (node) => layer[node]))),
      list.map(({ nodes }) => mean(nodes, x)),
      sizes,
      Math.max(200, body.clientWidth - 8),
    );
    const taken: { at: [number, number]; size: Size }[] = [];
    list.forEach(({ key }, i) => {
      const own = dragged?.get(key) ?? stored.get(key);
      if (own) taken.push({ at: own, size: sizes[i] });
    });
    places = list.map(({ key }, i) => {
      const own = dragged?.get(key) ?? stored.get(key);
      if (own) return own;
      const free = taken.length ? freePlace(found[i], sizes[i], taken) : found[i];
      if (taken.length) taken.push({ at: free, size: sizes[i] });
      return free;
    });
    list.forEach(({ key }, i) => {
      shown.get(key)?.move(...places[i]);
    });
    room.style.width = `${Math.max(0, ...places.map(([px], i) => px + sizes[i].width / 2)) + 8}px`;
    room.style.height = `${Math.max(0, ...places.map(([, py], i) => py + sizes[i].height / 2)) + 12}px`;
  }

  function paint(): void {
    const sizes = list.map(({ key }) => shown.get(key)?.size() ?? { width: 0, height: 0 });
    const chosen = new Set(actions.selected);
    const lit = new Set(list.flatMap(({ nodes }, i) => (nodes.some((node) => chosen.has(node)) ? [i] : [])));
    const found = between(list, edges, session.nodes.incoming);
    wires(lines, found, places, sizes, list.map(title), lit, view.theme().dark);
  }

  const title = ({ key }: Box): string => (typeof key === "string" ? key : session.title(key));

  function update(): void {
    list = boxes(session.get("notes"));
    element.hidden = !list.length;
    const gone = new Set(shown.keys());
    for (const box of list) {
      gone.delete(box.key);
      let own = shown.get(box.key);
      if (!own) {
        own = makeBox(session, box.key, {
          press: (key, extend) => {
            const nodes = list.find((other) => other.key === key)?.nodes ?? [];
            if (extend) actions.extend(nodes);
            else actions.select(nodes);
            show(nodes[0]);
          },
          drag: (key, x, y) => drag(key, x, y),
          drop,
          rename: (key, text) => {
            const at = list.findIndex((other) => other.key === key);
            actions.rename(key, text);
            if (list[at]) shown.get(list[at].key)?.element.focus({ preventScroll: true });
          },
        });
        shown.set(box.key, own);
        room.append(own.element);
      }
      own.fill(
        box,
        title(box),
        session.get("notes").supernodes.findIndex(([name]) => name === box.key),
      );
    }
    for (const key of gone) {
      const own = shown.get(key)?.element;
      if (own?.contains(document.activeElement)) view.root.focus({ preventScroll: true });
      own?.remove();
      shown.delete(key);
    }
    select();
    if (!body.hidden) {
      place();
      paint();
      void wire();
    }
  }

  function select(): void {
    const chosen = new Set(actions.selected);
    for (const box of list) shown.get(box.key)?.select(box.nodes.every((node) => chosen.has(node)));
  }

  /** Moves a box, and with it the others that are selected, by so many pixels. */
  function drag(key: number | string, dx: number, dy: number): void {
    dragged ??= new Map(list.map((box, i) => [box.key, places[i]]));
    const together = shown.get(key)?.selected() ? list.filter((box) => shown.get(box.key)?.selected()) : [{ key }];
    for (const { key: own } of together) {
      const at = dragged.get(own);
      const size = shown.get(own)?.size();
      if (!at || !size) continue;
      dragged.set(own, [Math.max(size.width / 2, at[0] + dx), Math.max(size.height / 2, at[1] + dy)]);
    }
    place();
    paint();
  }

  /** Keeps the places of all, so that nothing moves that was not moved. */
  function drop(): void {
    if (!dragged) return;
    const places = [...dragged].map(([key, [x, y]]): [number | string, number, number] => [key, x, y]);
    dragged = undefined;
    actions.move(places);
  }

  session.on(["notes", "known", "drawn"], update);
  session.on(["selected"], () => {
    select();
    if (!body.hidden) paint();
  });
  view.onTheme(paint);
  const resized = debounced(60, () => {
    if (!body.hidden && list.length) {
      place();
      paint();
    }
  });
  const observer = new ResizeObserver(resized);
  observer.observe(body);
  signal.addEventListener("abort", () => {
    observer.disconnect();
    resized.cancel();
  });
  update();
  return { element, rename };
}

/** A bar that is dragged, or moved by the arrow keys, to make the pane higher or lower. */
function grip(body: HTMLElement): HTMLElement {
  const set = (height: number) => {
    body.style.height = `${Math.max(80, height)}px`;
  };
  const bar = h("div", {
    class: "gc-grip",
    role: "separator",
    tabindex: 0,
    "aria-orientation": "horizontal",
    "aria-label": "Height of the subgraph",
    onkeydown: (event) => {
      const { key } = event as KeyboardEvent;
      if (key !== "ArrowUp" && key !== "ArrowDown") return;
      set(body.clientHeight + (key === "ArrowUp" ? 20 : -20));
      event.preventDefault();
      event.stopPropagation();
    },
    onpointerdown: (event) => {
      bar.setPointerCapture((event as PointerEvent).pointerId);
      event.preventDefault();
    },
    onpointermove: (event) => {
      const { pointerId, movementY } = event as PointerEvent;
      if (bar.hasPointerCapture(pointerId)) set(body.clientHeight + movementY);
    },
  });
  return bar;
}
