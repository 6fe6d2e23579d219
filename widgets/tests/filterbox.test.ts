import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { filterBox } from "../src/shared/filterbox";
import type { Session } from "../src/shared/session";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function open(filter = "") {
  const state = { filter, selected: [] as number[], notes: { pinned: [1], supernodes: [], labels: [], positions: [] } };
  const listeners: [string[], () => void][] = [];
  const session = {
    nodes: { layer: Int32Array.of(0, 1, 2), kind: new Int32Array(3) },
    get: (name: keyof typeof state) => state[name],
    set: (changes: Partial<typeof state>) => {
      Object.assign(state, changes);
      for (const [names, run] of listeners) if (names.some((name) => name in changes)) run();
    },
    on: (names: string[], run: () => void) => void listeners.push([names, run]),
    label: () => "",
    token: () => "",
    name: (node: number) => `n${node}`,
  };
  const end = new AbortController();
  const changed = vi.fn();
  const box = filterBox(session as unknown as Session, end.signal, changed);
  const type = (text: string) => {
    box.input.value = text;
    box.input.dispatchEvent(new Event("input"));
  };
  const found = () => [0, 1, 2].filter((node) => box.filter().matches(node));
  const told = () => box.element.querySelector(".gc-mistake")!.textContent;
  return { box, session, state, type, found, told, changed, end };
}

test("a filter is in force after a pause, or at once with Enter", () => {
  const { box, state, type, found, changed } = open();
  type("layer>=1");
  expect([found(), state.filter]).toEqual([[0, 1, 2], ""]);
  vi.advanceTimersByTime(300);
  expect([found(), state.filter, changed.mock.calls.length]).toEqual([[1, 2], "layer>=1", 1]);
  type("layer>=2");
  box.input.dispatchEvent(new Event("change"));
  expect([found(), state.filter, changed.mock.calls.length]).toEqual([[2], "layer>=2", 2]);
  vi.advanceTimersByTime(300);
  expect(changed).toHaveBeenCalledTimes(2);
});

test("a mistake is told, goes no further, and leaves the last filter", () => {
  const { box, state, type, found, told } = open("layer>=1");
  expect([box.input.value, found()]).toEqual(["layer>=1", [1, 2]]);
  type("layer>=<img src=x>");
  vi.advanceTimersByTime(300);
  expect(told()).toBe("character 8: expected a number after layer, got <");
  expect(box.input.getAttribute("aria-invalid")).toBe("true");
  expect([found(), state.filter]).toEqual([[1, 2], "layer>=1"]);
  type("layer=0");
  vi.advanceTimersByTime(300);
  expect([found(), told(), box.input.getAttribute("aria-invalid")]).toEqual([[0], "", "false"]);
});

test("what is set elsewhere is shown, right or wrong", () => {
  const { box, session, found, told, changed } = open();
  session.set({ filter: "layer=2" });
  expect([box.input.value, found(), changed.mock.calls.length]).toEqual(["layer=2", [2], 1]);
  session.set({ filter: "layer=" });
  expect([box.input.value, found(), changed.mock.calls.length]).toEqual(["layer=", [2], 1]);
  expect(told()).toMatch(/expected a number/);
});

test("a filter by pins and selection follows them; another is left alone", () => {
  const { session, state, found, changed } = open("pinned | selected");
  expect(found()).toEqual([1]);
  session.set({ notes: { ...state.notes, pinned: [0] } });
  session.set({ selected: [2] });
  expect([found(), changed.mock.calls.length]).toEqual([[0, 2], 2]);
  session.set({ filter: "layer=1" });
  session.set({ selected: [1], notes: state.notes });
  expect(changed).toHaveBeenCalledTimes(3);
});

test("nothing comes after the end", () => {
  const { type, state, end } = open();
  type("layer=1");
  end.abort();
  vi.advanceTimersByTime(300);
  type("layer=2");
  vi.advanceTimersByTime(300);
  expect(state.filter).toBe("");
});
