// What people do to nodes, by mouse or key, wherever they do it.
import type { Session } from "../shared/session";
import { group, moved, relabel, renameGroup, togglePins, ungroup } from "./notes";
import { boxes } from "./subgraph";

export class Actions {
  constructor(
    private readonly session: Session,
    private readonly say: (text: string) => void,
  ) {}

  get selected(): number[] {
    return this.session.get("selected");
  }

  select(nodes: number[]): void {
    const now = this.selected;
    if (nodes.length === now.length && nodes.every((node, i) => node === now[i])) return;
    this.session.set({ selected: nodes });
  }

  /** Adds nodes to the selection, or takes them out when all are in it. */
  extend(nodes: number[]): void {
    const { selected } = this;
    const rest = selected.filter((node) => !nodes.includes(node));
    this.select(selected.length - rest.length === nodes.length ? rest : [...rest, ...nodes]);
  }

  add(nodes: number[]): void {
    this.select([...new Set([...this.selected, ...nodes])]);
  }

  pin(nodes: number[]): void {
    if (!nodes.length) return;
    this.session.annotate(togglePins(this.session.get("notes"), nodes));
    const pinned = this.session.get("notes").pinned.includes(nodes[0]);
    this.say(
      `${nodes.length === 1 ? this.session.title(nodes[0]) : `${nodes.length} nodes`} ${pinned ? "pinned" : "unpinned"}`,
    );
  }

  /** Groups nodes, and gives the group's name. */
  group(nodes: number[]): string | undefined {
    if (!nodes.length) return;
    const notes = this.session.get("notes");
    const wanted = nodes.map((node) => this.session.label(node)).find(Boolean) ?? "group";
    const parts = group(notes, nodes, wanted);
    this.session.annotate(parts);
    const name = parts.supernodes?.at(-1)?.[0];
    this.say(`grouped ${nodes.length} nodes as ${name}`);
    return name;
  }

  /** Takes apart every group of which a node is given. */
  ungroup(nodes: number[]): void {
    for (const [name, members] of this.session.get("notes").supernodes) {
      if (members.some((node) => nodes.includes(node))) {
        this.session.annotate(ungroup(this.session.get("notes"), name));
        this.say(`${name} ungrouped`);
      }
    }
  }

  rename(key: number | string, text: string): void {
    const notes = this.session.get("notes");
    this.session.annotate(typeof key === "string" ? renameGroup(notes, key, text) : relabel(notes, key, text));
  }

  move(places: [number | string, number, number][]): void {
    this.session.annotate(moved(this.session.get("notes"), places));
  }

  /** Lets all boxes lie where they would by themselves. */
  arrange(): void {
    this.session.annotate({ positions: [] });
  }

  /** The box that the selection is, if it is one. */
  box(): number | string | undefined {
    const { selected } = this;
    const all = new Set(selected);
    return boxes(this.session.get("notes")).find(
      ({ nodes }) => nodes.length === all.size && nodes.every((node) => all.has(node)),
    )?.key;
  }
}
