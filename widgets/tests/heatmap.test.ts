import { describe, expect, it } from "vitest";
import { Actions, toggleToken } from "../src/heatmap/actions";
import { hit, type Layout, layOut, nearest, ROW, reveal, visible, visibleColumns } from "../src/heatmap/geometry";
import { legend } from "../src/heatmap/legend";
import { arrange, type Order } from "../src/heatmap/order";
import { regionOf } from "../src/heatmap/pointer";
import { buildRows, nodeAt, nodesOf } from "../src/heatmap/rows";
import { Palette, scaleOf, share, valueAt } from "../src/heatmap/scale";
import { Sheet, type Traits } from "../src/heatmap/sheet";
import { sentence, tip } from "../src/heatmap/tip";
import { tokenBar } from "../src/heatmap/tokens";
import { compile, type Filter } from "../src/shared/filter";
import { KINDS, type Session } from "../src/shared/session";

const HOSTILE = '<img src=x onerror="alert(1)">';
const NODES: [kind: string, layer: number, position: number, feature: number, activation: number, influence: number][] =
  [
    ["feature", 0, 1, 7, 2, 0.1], // 0
    ["feature", 0, 1, 9, 1, 0.3], // 1
    ["feature", 0, 3, 7, 4, 0.1], // 2
    ["feature", 2, 0, 7, 3, 0.4], // 3
    ["feature", 2, 2, 5, 1, 0], // 4
    ["error", 0, 0, -1, Number.NaN, 0.05], // 5
    ["error", 0, 1, -1, Number.NaN, 0.01], // 6
    ["error", 2, 0, -1, Number.NaN, 0], // 7
    ["error", 2, 1, -1, Number.NaN, 0], // 8
    ["token", -1, 0, -1, Number.NaN, 0.5], // 9
    ["token", -1, 1, -1, Number.NaN, 0.2], // 10
    ["logit", 3, 3, -1, Number.NaN, 0], // 11
  ];
// Rows: 0 = L0 #7 (nodes 0 2), 1 = L0 #9 (1), 2 = L2 #5 (4), 3 = L2 #7 (3), 4 = errors L0 (5 6), 5 = errors L2 (7 8)

interface State {
  selected: number[];
  pinned: number[];
  labels: Record<number, string>;
  kept: number[];
  overlay?: { name: string; values: Float32Array };
}

function fake(traits: Partial<Traits> = {}, state: Partial<State> = {}) {
  const now: State = { selected: [], pinned: [], labels: {}, kept: [], ...state };
  const column = (place: number) => NODES.map((node) => node[place] as number);
  const sets: object[] = [];
  const session = {
    nodes: {
      count: NODES.length,
      kind: Int32Array.from(NODES.map(([kind]) => KINDS.indexOf(kind as never))),
      layer: Int32Array.from(column(1)),
      position: Int32Array.from(column(2)),
      feature: Int32Array.from(column(3)),
      activation: Float32Array.from(column(4)),
      influence: Float32Array.from(column(5)),
      incoming: new Float32Array(NODES.length).fill(1),
      probability: new Float32Array(NODES.length).fill(Number.NaN),
    },
    meta: { tokens: ["<bos>", " Texas", HOSTILE, "\n", "later"], n_positions: 4, targets: [{ token: " Austin" }] },
    get drawn() {
      return { kept: Int32Array.from(now.kept) };
    },
    get overlay() {
      return now.overlay;
    },
    get: (name: string) =>
      name === "notes" ? { pinned: now.pinned, supernodes: [], labels: [], positions: [] } : now.selected,
    label: (node: number) => now.labels[node] ?? "",
    name: (node: number) => NODES[node][0],
    token: (node: number) => session.meta.tokens[NODES[node][2]],
    kind: (node: number) => NODES[node][0],
    set: (changes: { selected: number[] }) => {
      sets.push(changes);
      now.selected = changes.selected;
      sheet.mark();
    },
    annotate: (changes: { pinned: number[] }) => {
      now.pinned = changes.pinned;
      sheet.mark();
    },
  };
  const own: Traits = {
    sort: "layer",
    colour: "influence",
    show: "all",
    errors: true,
    grouped: true,
    height: 400,
    ...traits,
  };
  const model = {
    get: (name: keyof Traits) => own[name],
    set: (name: keyof Traits, value: never) => {
      own[name] = value;
    },
    save_changes: () => {},
  };
  const sheet = new Sheet(session as unknown as Session, model as never);
  const rearrange = (filter = "") => sheet.rearrange(compile(filter, session as never) as Filter);
  rearrange();
  sheet.mark();
  return { session: session as unknown as Session, sheet, rearrange, now, sets, own };
}

describe("rows", () => {
  const { session } = fake();
  const rows = buildRows(session.nodes);

  it("are the features by layer and index over all their positions, then the errors of each layer", () => {
    expect([...rows.layer]).toEqual([0, 0, 2, 2, 0, 2]);
    expect([...rows.feature]).toEqual([7, 9, 5, 7, -1, -1]);
    expect(rows.features).toBe(4);
    expect([0, 1, 2, 3, 4, 5].map((row) => [...nodesOf(rows, row)])).toEqual([[0, 2], [1], [4], [3], [5, 6], [7, 8]]);
    expect([...rows.first]).toEqual([1, 1, 2, 0, 0, 0]);
    expect([...rows.influence].map((sum) => Number(sum.toFixed(4)))).toEqual([0.2, 0.3, 0, 0.4, 0.06, 0]);
  });

  it("find the node at a position, or that there is none", () => {
    const at = (row: number) => [0, 1, 2, 3].map((position) => nodeAt(rows, row, position, session.nodes));
    expect(at(0)).toEqual([-1, 0, -1, 2]);
    expect(at(4)).toEqual([5, 6, -1, -1]);
    expect(at(5)).toEqual([7, 8, -1, -1]);
  });

  it("are none in a graph without features and errors", () => {
    const empty = buildRows({ ...session.nodes, count: 0 });
    expect([empty.count, empty.features, ...empty.start]).toEqual([0, 0, 0]);
  });
});

describe("the order of rows", () => {
  const { session } = fake();
  const rows = buildRows(session.nodes);
  const all = (order: Partial<Order>) => [...arrange(rows, () => true, { sort: "layer", grouped: false, ...order })];

  it.each<[Partial<Order>, number[]]>([
    [{ sort: "layer" }, [0, 1, 2, 3, 4, 5]],
    [{ sort: "influence" }, [3, 1, 0, 2, 4, 5]],
    [{ sort: "first_token" }, [3, 1, 0, 2, 4, 5]],
    [{ sort: "similarity", similar: Int32Array.of(2, 0, 3, 1) }, [2, 0, 3, 1, 4, 5]],
    [{ sort: "layer", grouped: true }, [~0, 0, 1, 4, ~2, 2, 3, 5]],
    [{ sort: "influence", grouped: true }, [~0, 1, 0, 4, ~2, 3, 2, 5]],
    [{ sort: "similarity", similar: Int32Array.of(2, 1, 3, 0), grouped: true }, [~0, 1, 0, 4, ~2, 2, 3, 5]],
  ])("%o", (order, items) => expect(all(order)).toEqual(items));

  it("of first tokens goes by position, then by influence", () => {
    const moved = { ...rows, first: Int32Array.of(1, 1, 0, 2, 0, 0) };
    const order: Order = { sort: "first_token", grouped: false };
    expect([...arrange(moved, () => true, order)]).toEqual([2, 1, 0, 3, 4, 5]);
  });

  it("has no heading for a layer of which nothing is shown", () => {
    expect([...arrange(rows, (row) => row === 2, { sort: "layer", grouped: true })]).toEqual([~2, 2]);
    expect([...arrange(rows, () => false, { sort: "layer", grouped: true })]).toEqual([]);
  });
});

describe("the sheet", () => {
  const items = (traits: Partial<Traits>, filter = "", state: Partial<State> = {}) => {
    const { sheet, rearrange } = fake({ grouped: false, ...traits }, state);
    rearrange(filter);
    return [[...sheet.items], sheet.count];
  };

  it.each<[string, Partial<Traits>, string, Partial<State>, [number[], number]]>([
    ["all", {}, "", {}, [[0, 1, 2, 3, 4, 5], 4]],
    ["those with influence", { show: "influence" }, "", {}, [[0, 1, 3, 4], 3]],
    ["no errors", { errors: false }, "", {}, [[0, 1, 2, 3], 4]],
    ["the circuit's", { show: "circuit" }, "", { kept: [2, 4, 7, 9] }, [[0, 2, 5], 2]],
    ["those with a node that passes", {}, "position=1", {}, [[0, 1, 4, 5], 2]],
    ["errors by kind", {}, "kind=error", {}, [[4, 5], 0]],
    ["passing and in the circuit", { show: "circuit" }, "position=1", { kept: [2, 1] }, [[1], 1]],
    ["none", {}, "layer>9", {}, [[], 0]],
  ])("shows %s", (_, traits, filter, state, wanted) => expect(items(traits, filter, state)).toEqual(wanted));

  it("knows where rows and the sections of layers are", () => {
    const { sheet } = fake();
    expect([...sheet.items]).toEqual([~0, 0, 1, 4, ~2, 2, 3, 5]);
    expect([...sheet.places]).toEqual([1, 2, 5, 6, 3, 7]);
    expect([sheet.section(0), sheet.section(2)]).toEqual([
      [0, 3],
      [4, 7],
    ]);
    expect([0, 1, 4, 7].map((place) => sheet.layer(place))).toEqual([0, 0, 2, 2]);
  });

  it("sums the influence of all nodes at a token", () => {
    expect([...fake().sheet.influence].map((sum) => Number(sum.toFixed(4)))).toEqual([0.95, 0.61, 0, 0.1]);
  });

  it("takes a row's label from whichever of its nodes has one", () => {
    const { sheet } = fake({}, { labels: { 2: HOSTILE } });
    expect([sheet.label(0), sheet.label(1)]).toEqual([HOSTILE, ""]);
    expect([sheet.name(0), sheet.name(4)]).toEqual(["L0 #7", "L0 error"]);
    expect(sheet.longest()).toBe(HOSTILE.length);
  });
});

describe("colours", () => {
  it("are defined where the value is", () => {
    const values = Float32Array.from(NODES, (_, node) => (node === 3 ? -4 : node > 4 ? 9 : 1));
    const { session, sheet } = fake({}, { overlay: { name: "change", values } });
    const of = (colour: "activation" | "influence" | "effect") => scaleOf(session, sheet.rows, colour);
    expect(of("activation").top).toBe(4);
    expect(Number.isNaN(of("activation").values[5])).toBe(true);
    expect(of("influence").top).toBeCloseTo(0.4); // not the token's 0.5
    expect(of("influence").values[5]).toBeCloseTo(0.05);
    expect([of("effect").top, of("effect").signed]).toEqual([4, true]);
    expect([...of("effect").values.slice(3, 6)]).toEqual([-4, 1, Number.NaN]);
    expect(scaleOf(fake().session, sheet.rows, "effect").top).toBe(0);
  });

  it("go by the square root, and back", () => {
    const scale = { colour: "effect" as const, values: new Float32Array(), top: 4, signed: true };
    expect([-4, -1, 0, 0.25, 4].map((value) => share(value, scale))).toEqual([-1, -0.5, 0, 0.25, 1]);
    for (const value of [-4, -0.3, 0, 2]) expect(valueAt(share(value, scale), scale)).toBeCloseTo(value);
    expect(share(0, { ...scale, top: 0 })).toBe(0);
  });

  it.each([true, false])("differ in sign and grow with size, dark: %s", (dark) => {
    const [signed, plain] = [new Palette(true, dark), new Palette(false, dark)];
    expect(new Set([-1, -0.5, 0, 0.5, 1].map((at) => signed.at(at))).size).toBe(5);
    expect(new Set([0, 0.5, 1].map((at) => plain.at(at))).size).toBe(3);
    expect(signed.at(0)).toBe(plain.at(0));
    expect(plain.gradient().split("rgba").length).toBe(10);
  });

  it("have a legend with the numbers at its ticks", () => {
    const values = new Float32Array(NODES.length).fill(-4);
    const { sheet } = fake({ colour: "effect" }, { overlay: { name: HOSTILE, values } });
    const text = (theme: boolean) => legend(sheet, { dark: theme } as never).map((node) => node.textContent);
    expect(text(true)[0]).toBe(`${HOSTILE}−4−10+1+4`);
    expect((legend(fake().sheet, { dark: false } as never)[0] as Element).textContent).toBe("influence00.10.4");
    expect((legend(sheet, { dark: false } as never)[0] as Element).querySelector("img")).toBe(null);
  });
});

describe("geometry", () => {
  const layout: Layout = layOut(1000, 9, 100, 84, 60);
  const scroll = { left: 0, top: 0, width: 1000, height: 400 };

  it("gives columns the room there is, and slants tokens that do not fit", () => {
    expect(layout).toMatchObject({ left: 84, column: 84, slanted: false, top: 24 });
    const long = layOut(1000, 64, 8000, 400, 60);
    expect(long).toMatchObject({ left: 280, column: 20, slanted: true });
    expect(long.width).toBeGreaterThanOrEqual(280 + 64 * 20);
    expect(long.height).toBe(long.top + 8000 * ROW + 4);
    expect(layOut(0, 0, 0, 0, 0).column).toBeGreaterThan(0);
  });

  it("draws only what is in sight", () => {
    const far = { ...scroll, top: 50 * ROW + 12 };
    expect(visible(layout, scroll)).toEqual([0, Math.ceil((400 - 24) / ROW)]);
    const [first, last] = visible(layout, far);
    expect(first).toBe(50);
    expect(last - first).toBeLessThanOrEqual(Math.ceil(376 / ROW) + 1);
    expect(visible(layout, { ...scroll, top: 1e9 })[1]).toBe(100);
    expect(visible(layOut(1000, 9, 3, 84, 60), scroll)).toEqual([0, 3]);
    expect(visibleColumns(layout, { ...scroll, left: 200, width: 400 })).toEqual([2, 7]);
  });

  it("knows what lies under a point", () => {
    const at = (x: number, y: number, top = 0, left = 0) => hit(layout, { ...scroll, top, left }, x, y);
    expect(at(84, 24)).toEqual({ part: "cell", item: 0, column: 0 });
    expect(at(83, 24)).toEqual({ part: "row", item: 0, column: -1 });
    expect(at(84 + 83, 23)).toEqual({ part: "column", item: -1, column: 0 });
    expect(at(84 + 84, 24 + ROW)).toEqual({ part: "cell", item: 1, column: 1 });
    expect(at(100, 30, 10 * ROW, 84)).toEqual({ part: "cell", item: 10, column: 1 });
    expect(at(5, 5)).toBeUndefined();
    expect(at(84 + 9 * 84, 50)).toBeUndefined();
    expect(at(100, 300, 90 * ROW)).toBeUndefined();
  });

  it("keeps a brush inside the cells", () => {
    expect(nearest(layout, scroll, -50, -50)).toEqual({ item: 0, column: 0 });
    expect(nearest(layout, scroll, 1e6, 1e6)).toEqual({ item: 99, column: 8 });
  });

  it("scrolls as little as brings a cell in sight", () => {
    expect(reveal(layout, scroll, 3, 0)).toEqual([0, 0]);
    expect(reveal(layout, scroll, 50, 0)).toEqual([0, 51 * ROW - 376]);
    expect(reveal(layout, { ...scroll, top: 60 * ROW }, 50, 0)).toEqual([0, 49 * ROW]);
    expect(reveal(layout, { ...scroll, width: 300 }, 3, 8)).toEqual([9 * 84 - 216, 0]);
  });
});

describe("selecting", () => {
  it("a cell, a row, a token, a layer", () => {
    const { sheet } = fake();
    const nodes = (part: "cell" | "row" | "column", item: number, column: number) =>
      sheet.within(regionOf(sheet, { part, item, column }), true);
    expect(nodes("cell", 1, 3)).toEqual([2]);
    expect(nodes("cell", 1, 2)).toEqual([]);
    expect(nodes("row", 1, -1)).toEqual([0, 2]);
    expect(nodes("column", -1, 1)).toEqual([0, 1, 6, 8]);
    expect(nodes("row", 0, -1)).toEqual([0, 2, 1, 5, 6]);
    expect(nodes("cell", 4, 2)).toEqual([4, 3, 7, 8]);
  });

  it("replaces, toggles, adds and extends", () => {
    const { sheet, now, sets } = fake();
    const actions = new Actions(sheet);
    const cell = (place: number, column: number) => ({ items: [place, place], columns: [column, column] }) as never;
    const end = (place: number, column: number) => ({ row: sheet.items[place], column });
    actions.select(cell(1, 1), "replace", true, end(1, 1));
    expect(now.selected).toEqual([0]);
    actions.select(cell(2, 1), "toggle", true, end(2, 1));
    expect(now.selected).toEqual([0, 1]);
    actions.select(cell(2, 1), "toggle", true, end(2, 1));
    expect(now.selected).toEqual([0]);
    actions.select({ items: [5, 6], columns: [0, 3] }, "add", false, end(5, 0));
    expect(now.selected).toEqual([0, 4, 3]);
    actions.select(cell(1, 1), "replace", true, end(1, 1));
    actions.select(cell(3, 0), "extend", true, end(3, 0));
    expect(now.selected).toEqual([0, 1, 5, 6]);
    actions.select(cell(1, 3), "extend", true, end(1, 3));
    expect(now.selected).toEqual([0, 2]); // still from the first cell
    const before = sets.length;
    actions.select(cell(1, 3), "extend", true, end(1, 3));
    expect(sets.length).toBe(before); // nothing new, nothing sent
    actions.select(cell(1, 2), "replace", true, end(1, 2));
    expect(now.selected).toEqual([]);
  });

  it("leaves out what the filter holds back, but for what is clicked itself", () => {
    const { sheet, rearrange } = fake();
    rearrange("position=1");
    expect(sheet.within({ items: [0, 9], columns: [0, 3] }, false)).toEqual([0, 1, 6, 8]);
    expect(sheet.within({ items: [1, 1], columns: [0, 3] }, true)).toEqual([0, 2]);
  });

  it("pins a node, or all of a row at an empty cell, and takes pins away", () => {
    const { sheet, now } = fake({}, { pinned: [3] });
    const actions = new Actions(sheet);
    actions.pin();
    expect(now.pinned).toEqual([3]);
    actions.cursor = { row: 0, column: 1 };
    actions.pin();
    expect(now.pinned).toEqual([3, 0]);
    actions.cursor = { row: 0, column: 0 };
    actions.pin();
    expect(now.pinned).toEqual([3, 0, 2]);
    actions.pin();
    expect(now.pinned).toEqual([3]);
  });
});

describe("the cursor", () => {
  it("goes over rows, past headings, and stays inside", () => {
    const { sheet } = fake(); // items ~0 0 1 4 ~2 2 3 5
    const actions = new Actions(sheet);
    const go = (rows: number, columns: number) => {
      const { row, column } = actions.move(rows, columns);
      return [row, column];
    };
    expect(go(1, 0)).toEqual([0, 0]);
    expect(go(1, 2)).toEqual([1, 2]);
    expect(go(1, 99)).toEqual([4, 3]);
    expect(go(1, 0)).toEqual([2, 3]);
    expect(go(-1, -99)).toEqual([4, 0]);
    expect(go(-99, 0)).toEqual([0, 0]);
    expect(go(99, 0)).toEqual([5, 0]);
  });

  it("begins where the first key leads", () => {
    const first = (rows: number, columns: number) => new Actions(fake().sheet).move(rows, columns);
    expect(first(1, 0)).toEqual({ row: 0, column: 0 });
    expect(first(0, 1)).toEqual({ row: 0, column: 0 });
    expect(first(-1, 0)).toEqual({ row: 0, column: 0 });
    expect(first(99, 0)).toEqual({ row: 5, column: 0 });
  });

  it("extends the selection from where it was", () => {
    const { sheet, now } = fake();
    const actions = new Actions(sheet);
    const extend = (rows: number, columns: number) => {
      actions.move(rows, columns, true);
      actions.selectCursor("extend");
      return now.selected;
    };
    actions.move(1, 0);
    actions.move(0, 1);
    expect(extend(1, 0)).toEqual([0, 1]);
    expect(extend(0, 2)).toEqual([0, 2, 1]);
    expect(extend(-1, 0)).toEqual([0, 2]);
    actions.move(1, -2);
    expect(extend(1, 0)).toEqual([1, 6]);
  });

  it("has nowhere to go where no row is shown", () => {
    const { sheet, rearrange } = fake();
    rearrange("layer>9");
    expect(new Actions(sheet).move(1, 1)).toEqual({ row: -1, column: -1 });
  });

  it.each([
    ["", 3, "position=3"],
    ["position=3", 3, ""],
    ["position=3", 4, "position=4"],
    ["a | b", 3, "(a | b) & position=3"],
    ["(a | b) & position=3", 4, "(a | b) & position=4"],
    ["(a | b) & position=3", 3, "a | b"],
    ["(a) | b & position=3", 3, "((a) | b & position=3) & position=3"],
  ])("a token's filter: %s at %i", (filter, position, wanted) => expect(toggleToken(filter, position)).toBe(wanted));
});

describe("what is told", () => {
  const values = Float32Array.from(NODES, (_, node) => (node < 5 ? -0.25 : Number.NaN));
  const all = (parts: Node[]) => parts.map((part) => part.textContent).join("|");

  it("of a cell: name, token, numbers, state", () => {
    const { sheet } = fake({}, { overlay: { name: "x", values }, selected: [0], labels: { 0: HOSTILE } });
    const told = tip(sheet, 0, 1);
    expect(all(told)).toBe(`${HOSTILE}|L0 #7|at “Texas”, position 1|influence0.1activation2effect−0.25|selected`);
    const box = document.createElement("div");
    box.append(...told, ...tip(sheet, 0, 2));
    expect(box.querySelector("img")).toBe(null);
    expect(all(tip(sheet, 0, 2))).toBe(`${HOSTILE}|L0 #7|at “${HOSTILE}”, position 2|not active`);
    expect(all(tip(sheet, 4, 0))).toBe("L0 error|at “<bos>”, position 0|influence0.05");
  });

  it("of a row and of a column", () => {
    const { sheet } = fake();
    expect(all(tip(sheet, 0, -1))).toBe("L0 #7|influence 0.2 at 2 tokens");
    expect(all(tip(sheet, 1, -1))).toBe("L0 #9|influence 0.3 at 1 token");
    expect(all(tip(sheet, -1, 3))).toBe("“⏎”|position 3, influence 0.1");
    expect(tip(sheet, -1, -1)).toEqual([]);
  });

  it("as a sentence", () => {
    const { sheet } = fake({ colour: "activation" }, { pinned: [2], labels: { 0: "Texas" } });
    expect(sentence(sheet, 0, 3)).toBe("L0 #7, Texas, token “⏎”, activation 4, influence 0.1, pinned");
    expect(sentence(sheet, 0, 0)).toBe("L0 #7, Texas, token “<bos>”, not active");
  });

  it("above: the prompt as text, whatever is in it", () => {
    const { sheet } = fake();
    const clicked: number[] = [];
    const on = { hover: () => {}, click: (column: number) => void clicked.push(column) };
    const bar = tokenBar(sheet, new AbortController().signal, on);
    expect(bar.element.textContent).toBe(`<bos> Texas${HOSTILE}\nlater`);
    expect(bar.element.querySelector("img")).toBe(null);
    const [, texas, , , later] = bar.element.children as unknown as HTMLElement[];
    expect(texas.title).toBe("Texas: influence 0.61");
    bar.shade({ dark: false } as never);
    const alpha = (span: HTMLElement) => Number(/([\d.]+)\)$/.exec(span.style.background)?.[1] ?? 0);
    const alphas = ([...bar.element.children] as HTMLElement[]).map(alpha);
    expect(alphas[0]).toBeGreaterThan(alphas[1]);
    expect(alphas[1]).toBeGreaterThan(alphas[3]);
    expect(alphas[4]).toBe(0);
    texas.click();
    later.click();
    expect(clicked).toEqual([1]);
    bar.highlight(2);
    bar.highlight(1);
    expect([...bar.element.children].map((span) => span.classList.contains("gc-hovered"))).toEqual([
      false,
      true,
      false,
      false,
      false,
    ]);
  });
});
