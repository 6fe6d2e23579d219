// Changes of the annotations as values: what is pinned, grouped, named and placed.
import type { Notes } from "../shared/session";

/** Pins what is not pinned; unpins when all of it is. */
export function togglePins(notes: Notes, nodes: number[]): Partial<Notes> {
  const pinned = new Set(notes.pinned);
  if (!nodes.every((node) => pinned.has(node))) return { pinned: [...new Set([...notes.pinned, ...nodes])] };
  const gone = new Set(nodes);
  return {
    pinned: notes.pinned.filter((node) => !gone.has(node)),
    supernodes: without(notes, gone),
    positions: notes.positions.filter(([key]) => typeof key === "string" || !gone.has(key)),
  };
}

const without = (notes: Notes, gone: Set<number>): Notes["supernodes"] =>
  notes.supernodes
    .map(([name, nodes]): [string, number[]] => [name, nodes.filter((node) => !gone.has(node))])
    .filter(([, nodes]) => nodes.length);

/** A name that no group has: the wanted one, with a number behind it where it is taken. */
export function freeName(notes: Notes, wanted: string, own?: string): string {
  const taken = new Set(notes.supernodes.map(([name]) => name).filter((name) => name !== own));
  if (!taken.has(wanted)) return wanted;
  for (let i = 2; ; i++) if (!taken.has(`${wanted} ${i}`)) return `${wanted} ${i}`;
}

/** Makes one group of nodes, which leave the groups that they are in, and pins them. */
export function group(notes: Notes, nodes: number[], name: string): Partial<Notes> {
  const members = new Set(nodes);
  const supernodes = without(notes, members);
  const left = { ...notes, supernodes };
  const free = freeName(left, name);
  const names = new Set(supernodes.map(([kept]) => kept));
  const old = notes.positions.filter(([key]) =>
    typeof key === "string" ? notes.supernodes.some(([was]) => was === key) && !names.has(key) : members.has(key),
  );
  const positions = notes.positions.filter((place) => !old.includes(place));
  if (old.length) {
    const mean = (axis: 1 | 2) => old.reduce((sum, place) => sum + place[axis], 0) / old.length;
    positions.push([free, mean(1), mean(2)]);
  }
  return {
    pinned: [...new Set([...notes.pinned, ...nodes])],
    supernodes: [...supernodes, [free, [...members]]],
    positions,
  };
}

/** Takes a group apart; its nodes stay pinned. */
export function ungroup(notes: Notes, name: string): Partial<Notes> {
  const nodes = notes.supernodes.find(([own]) => own === name)?.[1] ?? [];
  return {
    pinned: [...new Set([...notes.pinned, ...nodes])],
    supernodes: notes.supernodes.filter(([own]) => own !== name),
    positions: notes.positions.filter(([key]) => key !== name),
  };
}

/** Renames a group, which keeps its place. An empty name changes nothing. */
export function renameGroup(notes: Notes, name: string, wanted: string): Partial<Notes> {
  if (!wanted.trim()) return {};
  const free = freeName(notes, wanted.trim(), name);
  return {
    supernodes: notes.supernodes.map(([own, nodes]) => [own === name ? free : own, nodes]),
    positions: notes.positions.map(([key, x, y]) => [key === name ? free : key, x, y]),
  };
}

/** Labels a node; an empty text takes the label away. */
export function relabel(notes: Notes, node: number, text: string): Partial<Notes> {
  const others = notes.labels.filter(([own]) => own !== node);
  return { labels: text.trim() ? [...others, [node, text.trim()]] : others };
}

export function moved(notes: Notes, places: Notes["positions"]): Partial<Notes> {
  const keys = new Set(places.map(([key]) => key));
  return { positions: [...notes.positions.filter(([key]) => !keys.has(key)), ...places] };
}
