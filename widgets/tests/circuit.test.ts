import { describe, expect, it, test } from "vitest";
import { elide, tame } from "../src/circuit/axes";
import { Camera } from "../src/circuit/camera";
import { Hits } from "../src/circuit/hit";
import { Room } from "../src/circuit/labels";
import { freeName, group, moved, relabel, renameGroup, togglePins, ungroup } from "../src/circuit/notes";
import { edgesOf, look, makeScene } from "../src/circuit/scene";
import { level } from "../src/circuit/stroke";
import { arrange, between, boxes, freePlace } from "../src/circuit/subgraph";
import { percent } from "../src/circuit/tip";
import { step } from "../src/circuit/walk";
import type { Drawn, Nodes, Notes } from "../src/shared/session";

let state = 1;
const random = () => {
  state = (state * 16807) % 2147483647;
  return state / 2147483647;
};

/** Nodes 0-3 are features, 4 an error, 5 and 6 tokens, 7 a logit; node 3 is pruned away. */
function scene() {
  const kind = Int32Array.from([0, 0, 0, 0, 1, 2, 2, 3]);
  const nodes = {
    count: 8,
    kind,
    probability: Float32Array.from([...Array(7).fill(Number.NaN), 0.9]),
  } as Nodes;
  const edges: [number, number, number][] = [
    [4, 7, 0.05],
    [5, 0, 0.1],
    [6, 1, -0.2],
    [1, 2, -0.3],
    [0, 2, 0.4],
    [2, 7, 0.9],
  ];
  const drawn = {
    kept: Int32Array.from([0, 1, 2, 4, 5, 6, 7]),
    x: Float32Array.from([0.5, 2.5, 1.5, 3.5, 0.5, 2.5, 2.5]),
    y: Float32Array.from([0, 0, 1, 1, -1, -1, 2]),
    influence: Float32Array.from([0.2, 0.1, 0.8, 0.05, 0.3, 0.2, 0]),
    source: Int32Array.from(edges.map(([source]) => source)),
    target: Int32Array.from(edges.map(([, target]) => target)),
    weight: Float32Array.from(edges.map(([, , share]) => 2 * share)),
    share: Float32Array.from(edges.map(([, , share]) => share)),
  } as Drawn;
  return makeScene(nodes, drawn);
}

const NONE: Notes = { pinned: [], supernodes: [], labels: [], positions: [] };

describe("a scene", () => {
  it("knows each node's place and its edges, the strongest first", () => {
    const made = scene();
    expect([...made.place]).toEqual([0, 1, 2, -1, 3, 4, 5, 6]);
    expect([...edgesOf(made, 2)]).toEqual([5, 4, 3]);
    expect([...edgesOf(made, 3)]).toEqual([0]);
    expect([...made.source]).toEqual([3, 4, 5, 1, 0, 2]);
  });
  it("sizes nodes by influence, the strongest hidden one being the largest", () => {
    const { size } = scene();
    expect(size[2]).toBe(1);
    expect(size[0]).toBeCloseTo(0.5);
    expect(size[3]).toBeLessThan(size[0]);
  });
  it("hides errors, dims what does not match and leaves out weak edges", () => {
    const sight = look(scene(), (node) => node !== 1, false, 0.2);
    expect([...sight.seen]).toEqual([2, 1, 2, 0, 2, 2, 2]);
    expect(sight.from).toBe(2);
    expect(look(scene(), () => true, true, 0).from).toBe(0);
    expect(look(scene(), () => true, true, 0.95).from).toBe(6);
  });
});

test("the nearest node within reach is hit, as by looking at all of them", () => {
  const count = 600;
  const x = Float32Array.from({ length: count }, () => 80 * random());
  const y = Float32Array.from({ length: count }, () => Math.floor(12 * random()) - 1);
  const hits = new Hits(x, y);
  let found = 0;
  for (let n = 0; n < 500; n++) {
    const [px, py, kx, ky, reach] = [82 * random() - 1, 13 * random() - 2, 3 + 30 * random(), 3 + 30 * random(), 12];
    const allowed = (i: number) => i % (n % 2 ? 3 : 40) === 1;
    let [best, least] = [-1, reach * reach];
    for (let i = 0; i < count; i++) {
      const distance = ((x[i] - px) * kx) ** 2 + ((y[i] - py) * ky) ** 2;
      if (allowed(i) && distance < least) [best, least] = [i, distance];
    }
    expect(hits.nearest(px, py, kx, ky, reach, allowed)).toBe(best);
    if (best >= 0) found++;
  }
  expect(found).toBeGreaterThan(50);
  const within = hits.within(40, 6, 10, 2);
  expect(within).toEqual([...x.keys()].filter((i) => x[i] >= 10 && x[i] <= 40 && y[i] >= 2 && y[i] <= 6));
});

describe("the camera", () => {
  const camera = () => {
    const made = new Camera(20, -1, 6);
    [made.width, made.height, made.margins] = [800, 500, { left: 40, right: 10, top: 20, bottom: 30 }];
    return made;
  };
  it("fits the whole between the margins", () => {
    const made = camera();
    expect(made.toX(0)).toBeCloseTo(40);
    expect(made.toX(20)).toBeCloseTo(790);
    expect(made.toY(6.5)).toBeCloseTo(20);
    expect(made.toY(-1.5)).toBeCloseTo(470);
  });
  it("zooms at the pointer", () => {
    const made = camera();
    const [x, y] = [made.fromX(300), made.fromY(200)];
    made.zoomAt(300, 200, 2.5);
    expect(made.toX(x)).toBeCloseTo(300);
    expect(made.toY(y)).toBeCloseTo(200);
    expect(made.zoom).toBe(2.5);
  });
  it("keeps zoom and middle when the columns change, and the middle inside", () => {
    const made = camera();
    made.zoomAt(300, 200, 2);
    const { cx, zoom } = made;
    made.columns = 35;
    expect(made.fromX(415)).toBeCloseTo(35 * cx);
    expect(made.zoom).toBe(zoom);
    made.panBy(1e6, -1e6);
    expect([made.cx, made.cy]).toEqual([0, 1]);
    made.fit();
    expect(made.toX(0)).toBeCloseTo(40);
  });
  it("moves to show a place only where it is out of sight", () => {
    const made = camera();
    made.zoomAt(415, 245, 4);
    const before = made.cx;
    made.reveal(10, 2.5);
    expect(made.cx).toBe(before);
    made.reveal(0, -1);
    expect(made.toX(0)).toBeCloseTo(70);
    expect(made.toY(-1)).toBeCloseTo(440);
  });
});

describe("walking", () => {
  const made = scene();
  const all = look(made, () => true, true, 0);
  it("starts at the logit, then goes along a row or the strongest edge", () => {
    const logit = step(made, all, -1, "left");
    expect(made.node[logit]).toBe(7);
    expect(made.node[step(made, all, logit, "down")]).toBe(2);
    expect(made.node[step(made, all, 2, "down")]).toBe(0);
    expect(made.node[step(made, all, 2, "up")]).toBe(7);
    expect(made.node[step(made, all, 2, "right")]).toBe(4);
    expect(made.node[step(made, all, 0, "right")]).toBe(1);
    expect(made.node[step(made, all, 1, "left")]).toBe(0);
  });
  it("stays where there is no way, and does not go where nothing is seen", () => {
    expect(step(made, all, 0, "left")).toBe(0);
    expect(step(made, all, 6, "up")).toBe(6);
    expect(
      made.node[
        step(
          made,
          look(made, () => true, false, 0),
          2,
          "right",
        )
      ],
    ).toBe(2);
    expect(
      made.node[
        step(
          made,
          look(made, (node) => node !== 0, true, 0),
          2,
          "down",
        )
      ],
    ).toBe(1);
    expect(
      step(
        made,
        look(made, () => true, true, 0.35),
        1,
        "up",
      ),
    ).toBe(1);
  });
});

describe("annotations", () => {
  it("pin what is not pinned, and unpin when all of it is", () => {
    const notes: Notes = { ...NONE, pinned: [1], supernodes: [["a", [1, 2]]], positions: [[1, 5, 6]] };
    expect(togglePins(notes, [1, 3])).toEqual({ pinned: [1, 3] });
    expect(togglePins(notes, [1])).toEqual({ pinned: [], supernodes: [["a", [2]]], positions: [] });
  });
  it("group nodes, which leave other groups, in the middle of where they were", () => {
    const notes: Notes = {
      ...NONE,
      pinned: [1],
      supernodes: [
        ["a", [2, 3]],
        ["b", [4]],
      ],
      positions: [
        [1, 0, 10],
        ["b", 20, 30],
        ["a", 7, 7],
      ],
    };
    expect(group(notes, [1, 3, 4], "a")).toEqual({
      pinned: [1, 3, 4],
      supernodes: [
        ["a", [2]],
        ["a 2", [1, 3, 4]],
      ],
      positions: [
        ["a", 7, 7],
        ["a 2", 10, 20],
      ],
    });
    expect(group(notes, [2, 3], "a").supernodes).toEqual([
      ["b", [4]],
      ["a", [2, 3]],
    ]);
  });
  it("take groups apart and rename them with their place", () => {
    const notes: Notes = {
      ...NONE,
      supernodes: [
        ["a", [2, 3]],
        ["b", [4]],
      ],
      positions: [["a", 7, 7]],
    };
    expect(ungroup(notes, "a")).toEqual({ pinned: [2, 3], supernodes: [["b", [4]]], positions: [] });
    expect(renameGroup(notes, "a", " <b>Texas</b> ")).toEqual({
      supernodes: [
        ["<b>Texas</b>", [2, 3]],
        ["b", [4]],
      ],
      positions: [["<b>Texas</b>", 7, 7]],
    });
    expect(renameGroup(notes, "a", "b").supernodes).toEqual([
      ["b 2", [2, 3]],
      ["b", [4]],
    ]);
    expect(renameGroup(notes, "a", "a").supernodes).toEqual(notes.supernodes);
    expect(renameGroup(notes, "a", " ")).toEqual({});
    expect(freeName(notes, "c")).toBe("c");
  });
  it("label and place", () => {
    const notes: Notes = { ...NONE, labels: [[1, "x"]], positions: [[1, 0, 0]] };
    expect(relabel(notes, 1, "y").labels).toEqual([[1, "y"]]);
    expect(relabel(notes, 1, " ").labels).toEqual([]);
    expect(moved(notes, [["a", 1, 2]]).positions).toEqual([
      [1, 0, 0],
      ["a", 1, 2],
    ]);
    expect(moved(notes, [[1, 1, 2]]).positions).toEqual([[1, 1, 2]]);
  });
});

describe("the subgraph", () => {
  const notes: Notes = { ...NONE, pinned: [0, 1, 2, 5], supernodes: [["pair", [1, 2]]] };
  it("has a box for each group and each other pin", () => {
    expect(boxes(notes)).toEqual([
      { key: "pair", nodes: [1, 2] },
      { key: 0, nodes: [0] },
      { key: 5, nodes: [5] },
    ]);
  });
  it("sums edges over members, and divides by all that comes into them", () => {
    const edges = { source: [0, 0, 1, 1, 0, 9], target: [1, 2, 2, 5, 5, 1], weight: [1, -3, 100, 4, 2, 50] };
    const incoming = [7, 8, 12, 1, 1, 10];
    expect(between(boxes(notes), edges, incoming)).toEqual([
      { source: 1, target: 0, weight: -2, share: -0.1 },
      { source: 1, target: 2, weight: 2, share: 0.2 },
      { source: 0, target: 2, weight: 4, share: 0.4 },
    ]);
  });
  it("is laid out by layer without one box over another", () => {
    for (let n = 0; n < 50; n++) {
      const count = 1 + Math.floor(14 * random());
      const layers = Array.from({ length: count }, () => Math.floor(4 * random()));
      const sizes = layers.map(() => ({ width: 50 + 90 * random(), height: 20 + 40 * random() }));
      const wanted = layers.map(random);
      const at = arrange(layers, wanted, sizes, 700);
      for (let i = 0; i < count; i++) {
        expect(at[i][0] - sizes[i].width / 2).toBeGreaterThanOrEqual(-1e-6);
        for (let j = 0; j < i; j++) {
          const apart = [0, 1].map((axis) => {
            const size = axis ? "height" : "width";
            return Math.abs(at[i][axis] - at[j][axis]) >= (sizes[i][size] + sizes[j][size]) / 2;
          });
          expect(apart).toContain(true);
          if (layers[i] > layers[j]) expect(at[i][1]).toBeLessThan(at[j][1]);
        }
      }
    }
  });
  it("puts a new box where there is room", () => {
    const size = { width: 80, height: 30 };
    expect(freePlace([100, 50], size, [])).toEqual([100, 50]);
    const taken = [{ at: [100, 50] as [number, number], size }];
    for (let n = 0; n < 12; n++) {
      const at = freePlace([100, 50], size, taken);
      for (const other of taken) {
        expect(Math.abs(at[0] - other.at[0]) >= 80 || Math.abs(at[1] - other.at[1]) >= 30).toBe(true);
      }
      taken.push({ at, size });
    }
  });
});

describe("text", () => {
  it.each(["<img src=x onerror=alert(1)>", "</div><script>alert(1)</script>", '"><svg onload=alert(1)>'])(
    "is kept as it is: %s",
    (text) => {
      expect(tame(text)).toBe(text);
      expect(elide(text, 1000, (part) => part.length)).toBe(text);
    },
  );
  it("loses characters that would garble their neighbours", () => {
    expect(tame("a\u202eb\u0007c\ud800")).toBe("a�b�c�");
  });
  it("is cut to its width", () => {
    expect(elide("containing", 5, (part) => part.length)).toBe("cont…");
    expect(elide("👍👍👍", 2, (part) => [...part].length)).toBe("👍…");
    expect(elide("word", 0, (part) => part.length)).toBe("");
  });
  it("tells shares with their sign", () => {
    expect([0.1234, -0.05, 0, 1e-9].map(percent)).toEqual(["+12.3%", "−5.00%", "±0%", "±0%"]);
  });
});

test("labels do not overlap", () => {
  const room = new Room();
  const box = (left: number, top: number) => ({ left, top, right: left + 50, bottom: top + 12 });
  room.take(box(10, 10));
  expect(room.free(box(10, 23))).toBe(true);
  expect(room.free(box(59, 10))).toBe(false);
  expect(room.free(box(61, 10))).toBe(true);
  expect(room.free(box(10, -3))).toBe(true);
});

test("stronger shares have a higher step, whatever their sign", () => {
  const steps = [0.001, -0.01, 0.05, -0.1, 0.2, -0.3, 0.9].map(level);
  expect(steps).toEqual([...steps].sort((a, b) => a - b));
  expect([steps[0], steps[6]]).toEqual([1, 10]);
  expect(level(-0.2)).toBe(level(0.2));
});
