import { describe, expect, it } from "vitest";
import { compile, type Filter, type Read } from "../src/shared/filter";
import { KINDS } from "../src/shared/session";

const TOKENS = ["<bos>", " Texas", ' "quoted" & (odd)', "\n", "<img src=x onerror=alert(1)>"];
const NODES: [kind: string, layer: number, position: number, feature: number, activation: number, influence: number][] =
  [
    ["feature", 0, 1, 120, 0.1, 0.2], // 0
    ["feature", 3, 1, 7, 2, 0.01], // 1
    ["feature", 3, 2, 120, 4, 0.5], // 2
    ["feature", 4, 4, 8, 1, 0], // 3
    ["error", 3, 1, -1, Number.NaN, 0.3], // 4
    ["token", -1, 3, -1, Number.NaN, 0.6], // 5
    ["logit", 5, 4, -1, Number.NaN, 0], // 6
  ];

function session(): Read {
  const column = (place: number) => NODES.map((node) => node[place] as number);
  const nodes = {
    count: NODES.length,
    kind: Int32Array.from(NODES.map(([kind]) => KINDS.indexOf(kind as never))),
    layer: Int32Array.from(column(1)),
    position: Int32Array.from(column(2)),
    feature: Int32Array.from(column(3)),
    activation: Float32Array.from(column(4)),
    influence: Float32Array.from(column(5)),
    incoming: new Float32Array(NODES.length).fill(1),
    probability: Float32Array.from(NODES.map(([kind]) => (kind === "logit" ? 0.75 : Number.NaN))),
  };
  const state = {
    selected: [0, 4],
    notes: {
      pinned: [2],
      supernodes: [["State of Texas", [0, 1]]],
      labels: [
        [1, "says Texas"],
        [3, "café 'x'"],
      ],
    },
  };
  return {
    nodes,
    get: ((name: "selected" | "notes") => state[name]) as never,
    label: (node) => new Map(state.notes.labels as [number, string][]).get(node) ?? "",
    name: (node) => (node < 4 ? `L${NODES[node][1]} #${NODES[node][3]}` : NODES[node][0]),
    token: (node) => (node === 6 ? " Austin" : TOKENS[NODES[node][2]]),
    kind: (node) => NODES[node][0] as never,
  };
}

function found(text: string): number[] {
  const filter = compile(text, session());
  if ("error" in filter) throw new Error(filter.error);
  return NODES.map((_, node) => node).filter(filter.matches);
}

const error = (text: string): string => (compile(text, session()) as { error: string }).error;

describe("a filter", () => {
  it.each<[string, number[]]>([
    ["", [0, 1, 2, 3, 4, 5, 6]],
    ["  \n ", [0, 1, 2, 3, 4, 5, 6]],
    ["layer>=3", [1, 2, 3, 4, 6]],
    ["layer > 3", [3, 6]],
    ["layer<3", [0, 5]],
    ["layer<=-1", [5]],
    ["layer=3", [1, 2, 4]],
    ["layer==3", [1, 2, 4]],
    ["layer!=3", [0, 3, 5, 6]],
    ["LAYER=3", [1, 2, 4]],
    ["position=4", [3, 6]],
    ["feature=120", [0, 2]],
    ["feature!=120", [1, 3]],
    ["feature<120", [1, 3]],
    ["feature<=120", [0, 1, 2, 3]],
    ["feature>=-5", [0, 1, 2, 3]],
    ["feature=-1", []],
    ["activation=0.1", [0]],
    ["activation!=0.1", [1, 2, 3]],
    ["activation>1e0", [1, 2]],
    ["!activation>1", [0, 3, 4, 5, 6]],
    ["influence>0.2", [2, 4, 5]],
    ["influence>=.2", [0, 2, 4, 5]],
    ["probability>0.5", [6]],
    ["probability<=1", [6]],
    ["kind=error", [4]],
    ["kind!=feature", [4, 5, 6]],
    ["pinned", [2]],
    ["selected", [0, 4]],
    ["!selected & kind=feature", [1, 2, 3]],
  ])("by numbers and flags: %s", (text, nodes) => expect(found(text)).toEqual(nodes));

  it.each<[string, number[]]>([
    ['token~"tex"', [0, 1, 4]],
    ["token~TEX", [0, 1, 4]],
    ['token!~"tex"', [2, 3, 5, 6]],
    ['token=" Texas"', [0, 1, 4]],
    ['token="Texas"', []],
    ["token=Texas", [0, 1, 4]],
    ["token=texas", []],
    ['token!=" Texas"', [2, 3, 5, 6]],
    ['token="\\n"', [5]],
    ['token=" \\"quoted\\" & (odd)"', [2]],
    ["token=' \"quoted\" & (odd)'", [2]],
    ['token~"<img src=x onerror"', [3]],
    ["token~Austin", [6]],
    ["label~TEXAS", [1]],
    ['label!=""', [1, 3]],
    ['label=""', [0, 2, 4, 5, 6]],
    ["label~\"'x'\"", [3]],
    ["label~CAFÉ", [3]],
    ['group~"texas"', [0, 1]],
    ['group="State of Texas"', [0, 1]],
    ["group!=''", [0, 1]],
    ["name~#120", [0, 2]],
    ["texas", [0, 1, 4]],
    ['"says Texas"', [1]],
    ["says 'texas'", [1]],
    ["#120", [0, 2]],
    ['"pinned"', []],
    ["error", [3, 4]],
  ])("by texts: %s", (text, nodes) => expect(found(text)).toEqual(nodes));

  it.each<[string, number[]]>([
    ["layer=3 & token~Texas", [1, 4]],
    ["layer=3 token~Texas", [1, 4]],
    ["layer=3&&token~Texas", [1, 4]],
    ["layer=0|layer=4", [0, 3]],
    ["layer=0||layer=4", [0, 3]],
    ["layer=0 | layer=3 & feature=7", [0, 1]],
    ["(layer=0 | layer=3) & feature=120", [0, 2]],
    ["(layer=0|layer=3)(feature=120)", [0, 2]],
    ["!(layer=0|layer=3) & kind=feature", [3]],
    ["!!layer=0", [0]],
    ["! layer = 0 & feature = 120", [2]],
  ])("put together: %s", (text, nodes) => expect(found(text)).toEqual(nodes));

  it("says what it was compiled from", () => {
    const reads = (text: string) => [...(compile(text, session()) as Filter).reads].sort();
    expect(reads("layer>2 & token~a & name~b & kind=error")).toEqual([]);
    expect(reads("pinned | selected")).toEqual(["notes", "selected"]);
    for (const text of ["label~x", "group~x", "pinned", "words"]) expect(reads(text)).toEqual(["notes"]);
  });
});

describe("a mistake", () => {
  it.each<[string, string]>([
    ["layer>=", "character 8: expected a number after layer, got the end"],
    ["layer>=x", "character 8: expected a number after layer, got x"],
    ['layer>="3"', 'character 8: expected a number after layer, got "3"'],
    ["  layer>=(3)", "character 10: expected a number after layer, got ("],
    ["layer=NaN", "character 7: expected a number after layer, got NaN"],
    ["layer~3", "character 6: expected = != < <= > >= after layer, got ~"],
    ["layer", "character 6: expected = != < <= > >= after layer (quotes look for the word), got the end"],
    ["token>3", "character 6: expected ~ !~ = != after token, got >"],
    ["token~", "character 7: expected a text after token, got the end"],
    ["token~&", "character 7: expected a text after token, got &"],
    ["kind~error", "character 5: expected = != after kind, got ~"],
    ["kind=neuron", "character 6: expected one of feature error token logit, got neuron"],
    ["kind=", "character 6: expected one of feature error token logit, got the end"],
    [
      "depth>3",
      "character 1: expected one of layer position feature activation influence probability token label group name kind pinned selected, got depth",
    ],
    [
      '"layer">3',
      'character 1: expected one of layer position feature activation influence probability token label group name kind pinned selected, got "layer"',
    ],
    ["pinned=1", "character 7: expected & or | after pinned, got ="],
    ["layer=3 &", "character 10: expected a comparison such as layer>=3, or words, got the end"],
    ["| layer=3", "character 1: expected a comparison such as layer>=3, or words, got |"],
    ["(layer=3", "character 9: expected ) or & or |, got the end"],
    ["layer=3)", "character 8: expected & or |, got )"],
    ["()", "character 2: expected a comparison such as layer>=3, or words, got )"],
    ["!", "character 2: expected a comparison such as layer>=3, or words, got the end"],
    ['label~"Texas', 'character 7: expected a closing ", got the end'],
    ["label~'Texas", "character 7: expected a closing ', got the end"],
    ['label~"Texas\\"', 'character 7: expected a closing ", got the end'],
    ["layer=3=4", "character 8: expected & or |, got ="],
    [`layer>${"9".repeat(30)}x`, `character 7: expected a number after layer, got ${"9".repeat(24)}…`],
  ])("is told with its place: %s", (text, message) => expect(error(text)).toBe(message));

  it.each([
    ["parentheses", `${"(".repeat(100_000)}layer=3`],
    ["nots", `${"!".repeat(100_000)}pinned`],
    ["closed ones", `${"(".repeat(200)}pinned${")".repeat(200)}`],
  ])("too deep: %s", (_, text) => expect(error(text)).toMatch(/expected at most 100 levels, got more/));

  it.each([
    ["a long text", `"${"x\\".repeat(200_000)}\\"`],
    ["quotes", '"'.repeat(100_001)],
    ["apostrophes", "'".repeat(200_001)],
    ["signs", "&|".repeat(100_000)],
    ["spaces", `${" ".repeat(200_000)}|`],
    ["spaces behind", `a${" ".repeat(200_000)}`],
    ["control characters and half a pair", "\u0000\ud800 \udc00 \u202e"],
    ["names of objects", "constructor __proto__ toString"],
    ["many terms", Array(20_000).fill("layer=3").join("|")],
  ])("hostile input ends in an answer at once: %s", (_, text) => {
    const begin = performance.now();
    const answer = compile(text, session());
    if ("matches" in answer) NODES.forEach((_, node) => void answer.matches(node));
    else expect(answer.error).toMatch(/^character \d+: expected .+, got .+$/s);
    expect(performance.now() - begin).toBeLessThan(1000);
  });

  it("of an unknown field is not looked up on objects", () => {
    for (const field of ["constructor", "__proto__", "toString", "count"])
      expect(error(`${field}=1`)).toMatch(/expected one of layer/);
    expect(error("kind=constructor")).toMatch(/expected one of feature/);
  });
});
