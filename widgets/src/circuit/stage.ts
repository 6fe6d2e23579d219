// The canvas of the graph: what is seen, hovered and walked to. What is selected and pinned is the session's.
import { surface } from "../shared/canvas";
import { h } from "../shared/dom";
import { show } from "../shared/session";
import { asSvg } from "../shared/svg";
import type { View } from "../shared/widget";
import { Axes } from "./axes";
import { Camera } from "./camera";
import { gestures } from "./gestures";
import { edgesOfAll, paintBrush, paintEdges, paintRoute } from "./highlight";
import { Hits } from "./hit";
import { paintLabels } from "./labels";
import { type Drawing, Layers } from "./layers";
import { type Marks, paintFocus, paintMarks, paintNodes, radius, radiusOf } from "./nodes";
import { look, makeScene, type Scene, type Sight } from "./scene";
import { range, strokes } from "./stroke";
import { facts, spoken, Tip } from "./tip";
import { step, type Way } from "./walk";

/** What the canvas asks of the widget that it is in. */
export interface Wishes {
  matches(): (node: number) => boolean;
  errors(): boolean;
  leastShare(): number;
  /** Whether a plain drag brushes. */
  brushes(): boolean;
  clicked(node: number, how: "select" | "extend" | "pin"): void;
  clickedNothing(): void;
  brushed(nodes: number[]): void;
  say(text: string): void;
}

/** Milliseconds without a move after which pictures are drawn anew. */
const REST = 120;
/** Up to this many nodes are drawn in every frame. */
const LIVE = 400;
/** The strongest edges, which are shown until the first picture is there. */
const STAND_IN = 500;

export class Stage {
  readonly canvas = h("canvas");
  readonly element = h("div", { class: "gc-stage" }, this.canvas);
  readonly camera = new Camera();
  scene!: Scene;
  sight!: Sight;
  /** The place that the keyboard is at. */
  focus = -1;
  #hover = -1;
  #column = -1;
  #brush: [number, number, number, number] | undefined;
  #route: number[] | undefined;
  #hits!: Hits;
  #order!: Int32Array;
  #marks: Marks | undefined;
  readonly #tip = new Tip(this.element);
  readonly #axes: Axes;
  readonly #layers: Layers;
  readonly #surface: ReturnType<typeof surface>;

  constructor(
    private readonly view: View<object>,
    private readonly wishes: Wishes,
  ) {
    const { session, signal } = view;
    this.#axes = new Axes(session);
    this.#layers = new Layers(
      signal,
      () => this.#drawings(),
      () => {
        this.element.dataset.state = "ready";
        this.#surface.redraw();
      },
    );
    this.#load();
    this.#surface = surface(this.canvas, signal, () => this.#paint());
    session.on(["drawn"], () => this.#load());
    session.on(["selected", "known"], () => {
      this.#marks = undefined;
      this.#surface.redraw();
    });
    session.on(["notes", "overlay"], () => {
      this.#marks = undefined;
      if (this.#many) this.#draw(0);
      else this.#surface.redraw();
    });
    view.onTheme(() => this.#draw(0));
    gestures(this.canvas, signal, this.#meaning(), wishes.brushes, () => {
      return this.camera.zoom > 1 && view.root.contains(document.activeElement);
    });
  }

  /** After a change of filter or switches. */
  refresh(): void {
    this.sight = look(this.scene, this.wishes.matches(), this.wishes.errors(), this.wishes.leastShare());
    this.#draw(0);
  }

  fit(): void {
    this.camera.fit();
    this.#draw(0);
  }

  zoom(factor: number): void {
    const { camera } = this;
    const at = this.focus >= 0 ? this.#at(this.focus) : [camera.width / 2, camera.height / 2];
    camera.zoomAt(at[0], at[1], factor);
    this.#draw(REST);
  }

  /** Lets the keyboard go a step. */
  walk(way: Way): void {
    this.look(step(this.scene, this.sight, this.focus, way));
  }

  /** Brings the keyboard to a place, and the place into view. */
  look(place: number): void {
    this.focus = place;
    if (place < 0) return;
    const before = [this.camera.cx, this.camera.cy];
    this.camera.reveal(this.scene.drawn.x[place], this.scene.drawn.y[place]);
    if (before[0] !== this.camera.cx || before[1] !== this.camera.cy) this.#draw(REST);
    this.wishes.say(spoken(this.view.session, this.scene.node[place], this.scene.drawn.influence[place]));
    this.#surface.redraw();
  }

  /** Shows a path of nodes, or none. */
  route(nodes: number[] | undefined): void {
    this.#route = nodes;
    this.#surface.redraw();
  }

  /** Forgets hover, keyboard place, path and brush. */
  clear(): void {
    this.focus = this.#hover = -1;
    this.#route = this.#brush = undefined;
    this.#tip.hide();
    this.#surface.redraw();
  }

  #load(): void {
    const focused = this.focus >= 0 ? this.scene.node[this.focus] : -1;
    const { session } = this.view;
    this.scene = makeScene(session.nodes, session.drawn);
    const { columns, rows, x, y, influence } = this.scene.drawn;
    this.camera.columns = columns[columns.length - 1] || 1;
    this.camera.lowest = rows[0][1];
    this.camera.highest = rows[rows.length - 1][1];
    this.#hits = new Hits(x, y);
    this.#order = Int32Array.from(x.keys()).sort((a, b) => influence[b] - influence[a]);
    this.focus = focused >= 0 ? this.scene.place[focused] : -1;
    this.#hover = -1;
    this.sight = look(this.scene, this.wishes.matches(), this.wishes.errors(), this.wishes.leastShare());
    if (this.#surface) this.#draw(0);
  }

  /** Draws edges and nodes anew, after so many milliseconds. */
  #draw(rest: number): void {
    this.element.dataset.state = "drawing";
    this.#layers.update(this.camera, rest);
    this.#surface.redraw();
  }

  /** Whether the nodes are so many that they are drawn aside as well. */
  get #many(): boolean {
    return this.scene.node.length > LIVE;
  }

  #drawings(): Drawing[] {
    const { scene, sight } = this;
    const [theme, marks] = [this.view.theme(), this.#marked()];
    const { length } = scene.source;
    const edges: Drawing = (context, view) =>
      strokes(context, scene, sight, view, theme.dark, range(sight.from, length), length - sight.from);
    const nodes: Drawing = (context, view) => paintNodes(context, scene, sight, view, theme, marks);
    return this.#many ? [edges, nodes] : [edges];
  }

  #at(place: number): [number, number] {
    return [this.camera.toX(this.scene.drawn.x[place]), this.camera.toY(this.scene.drawn.y[place])];
  }

  #placeAt(px: number, py: number): number {
    const { camera, scene, sight } = this;
    const { margins, width, height } = camera;
    if (px < margins.left || py > height - margins.bottom || px > width) return -1;
    const reach = Math.max(9, radius(camera) + 3);
    const [x, y] = [camera.fromX(px), camera.fromY(py)];
    const seen = (place: number) => sight.seen[place] === 2;
    const near = this.#hits.nearest(x, y, camera.kx, camera.ky, reach, seen);
    const limit = (place: number) => Math.max(6, radiusOf(scene, camera, place) + 3);
    if (near >= 0 && Math.hypot(...this.#at(near).map((own, i) => own - [px, py][i])) <= limit(near)) return near;
    return this.#hits.nearest(x, y, camera.kx, camera.ky, reach, (place) => sight.seen[place] === 1);
  }

  #meaning(): Parameters<typeof gestures>[2] {
    return {
      hover: (x, y) => {
        const place = this.#placeAt(x, y);
        const column = place < 0 ? this.#axes.columnAt(this.scene, this.camera, x, y) : -1;
        if (place >= 0) {
          const node = this.scene.node[place];
          const told = facts(this.view.session, node, this.scene.drawn.influence[place]);
          this.#tip.show(x, y, this.view.session.title(node), told);
        } else if (column >= 0)
          this.#tip.show(x, y, show(this.view.session.meta.tokens[column]), [["position", `${column}`]]);
        else this.#tip.hide();
        this.canvas.style.cursor = place >= 0 ? "pointer" : this.wishes.brushes() ? "crosshair" : "grab";
        if (place === this.#hover && column === this.#column) return;
        [this.#hover, this.#column] = [place, column];
        this.#surface.redraw();
      },
      leave: () => {
        this.#tip.hide();
        this.#hover = this.#column = -1;
        this.#surface.redraw();
      },
      click: (x, y, how) => {
        const place = this.#placeAt(x, y);
        this.focus = place;
        if (place >= 0) this.wishes.clicked(this.scene.node[place], how);
        else if (how === "select") this.wishes.clickedNothing();
        this.#surface.redraw();
      },
      twice: (x, y) => {
        if (this.#placeAt(x, y) < 0) this.fit();
      },
      pan: (dx, dy) => {
        this.#hover = -1;
        this.#tip.hide();
        this.camera.panBy(dx, dy);
        this.element.dataset.state = "drawing";
        this.#layers.follow(this.camera, REST);
        this.#surface.redraw();
      },
      zoom: (x, y, factor) => {
        this.camera.zoomAt(x, y, factor);
        this.#tip.hide();
        this.#draw(REST);
      },
      brush: (x1, y1, x2, y2, done) => {
        this.#tip.hide();
        this.#brush = done ? undefined : [x1, y1, x2, y2];
        if (done) {
          const { camera } = this;
          const ends = [camera.fromX(x1), camera.fromY(y1), camera.fromX(x2), camera.fromY(y2)] as const;
          const places = this.#hits.within(...ends).filter((place) => this.sight.seen[place] === 2);
          this.wishes.brushed(places.map((place) => this.scene.node[place]));
        }
        this.#surface.redraw();
      },
      drop: () => {
        this.#brush = undefined;
        this.#surface.redraw();
      },
    };
  }

  #marked(): Marks {
    const { session } = this.view;
    const notes = session.get("notes");
    this.#marks ??= {
      selected: new Set(session.get("selected")),
      pinned: new Set(notes.pinned),
      group: new Map(notes.supernodes.flatMap(([, nodes], i) => nodes.map((node) => [node, i]))),
      overlay: session.overlay,
    };
    return this.#marks;
  }

  /** The places whose edges stand out. */
  #lit(): number[] {
    if (this.#hover >= 0) return [this.#hover];
    if (this.focus >= 0) return [this.focus];
    return this.view.session
      .get("selected")
      .map((node) => this.scene.place[node])
      .filter((place) => place >= 0 && this.sight.seen[place] > 0);
  }

  /** What is shown, as the text of an SVG file. */
  svg(): string {
    const { width, height } = this.#surface;
    return asSvg(width, height, this.view.theme().paper, (context) => this.#compose(context, true));
  }

  #paint(): void {
    const { context, width, height } = this.#surface;
    const { camera } = this;
    const resized = camera.width !== width || camera.height !== height;
    [camera.width, camera.height] = [width, height];
    camera.margins = this.#axes.margins(context, this.scene, camera, this.view.theme());
    if (resized) this.#layers.update(camera, this.#layers.ready ? REST : 0);
    this.element.dataset.view = [camera.x0, camera.y0, camera.kx, camera.ky].map((part) => part.toFixed(2)).join(" ");
    this.#compose(context, false);
  }

  /** Draws everything: `whole` all of it afresh, else from the pictures that there are. */
  #compose(context: CanvasRenderingContext2D, whole: boolean): void {
    const { camera, scene, sight } = this;
    const theme = this.view.theme();
    this.#axes.paintGrid(context, scene, camera, theme);
    const lit = this.#lit();
    const [alone, marks] = [lit.length > 0 || this.#route !== undefined, this.#marked()];
    const alpha = alone ? (theme.dark ? 0.32 : 0.22) : 1;
    if (whole || !this.#layers.paint(context, camera, 0, alpha)) {
      const { length } = scene.source;
      const from = whole ? sight.from : Math.max(sight.from, length - STAND_IN);
      context.globalAlpha = whole ? alpha : 1;
      paintEdges(context, scene, sight, camera, theme, range(from, length));
      context.globalAlpha = 1;
    }
    if (this.#route) paintRoute(context, scene, camera, theme, this.#route);
    else if (lit.length) paintEdges(context, scene, sight, camera, theme, edgesOfAll(scene, sight, lit));
    if (whole || !this.#many || !this.#layers.paint(context, camera, 1)) {
      for (const _ of paintNodes(context, scene, sight, camera.fixed, theme, marks));
    }
    paintMarks(context, scene, sight, camera, theme, marks);
    paintLabels(context, scene, sight, camera, theme, (node) => this.view.session.label(node), this.#order);
    const at = this.#hover >= 0 ? this.#hover : this.focus;
    if (at >= 0) paintFocus(context, scene, camera, theme, at);
    this.#axes.paintLogits(context, scene, camera, theme, radius(camera));
    this.#axes.paint(context, scene, camera, theme, this.#column);
    if (this.#brush) paintBrush(context, theme, this.#brush);
  }
}
