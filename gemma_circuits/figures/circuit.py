"""The circuit graph: tokens at the bottom, logits on top, features in between by layer and token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.colors import sample_colorscale

from ..data import Circuit, Graph, Links, Nodes, pruning
from ..data.errors import ArgumentError
from ..data.streams import weights
from . import style
from .drawing import draw
from .frame import GAP, TEXT, Frame, fit
from .text import markup, place_labels, readable

SYMBOLS = {"feature": "circle", "error": "diamond", "token": "square", "logit": "square"}
LEGEND = (("●", style.BEFORE, "feature"), ("◇", None, "error"), ("■", None, "token, logit"))
SHADES = 12
"""Steps of colour on either side of zero; edges of one shade are one trace."""
FULL = 0.25
"""Share of its target's input at which an edge has its full colour and width."""
LAID = 20_000
"""Edges that the layout looks at: the strongest, so that it does not depend on how many are drawn."""
STEPS = np.linspace(0, 1, 25)
S_CURVE = 3 * STEPS**2 - 2 * STEPS**3, 1.5 * STEPS - 1.5 * STEPS**2 + STEPS**3
"""x and y of a cubic Bézier curve from (0, 0) to (1, 1) that leaves and arrives upright, half a height straight."""
STRAIGHT = np.array([[0, 1], [0, 1]])
GROUPS = style.COLOURS[2:]
"""Colours of supernodes; the first two are the edges'."""


@draw.register(Graph)
@draw.register(Circuit)
def circuit_figure(
    shown: Graph | Circuit,
    *,
    max_edges: int = 200,
    curved: bool = True,
    width: style.Width | float = "double",
    height: float | None = None,
    theme: style.Theme = "light",
) -> go.Figure:
    """The figure of a graph or a circuit.

    Features are circles, error nodes diamonds, tokens and logits squares; their area goes with influence (logits:
    probability). Supernodes have colours of their own and their name at their strongest member, pinned nodes an
    outline. Edges run from orange (inhibits) to blue (excites) by their share of their target's input,
    `weight / sum |incoming|`, the largest share on top. Labels that find no room are left out; hovering over a node
    always tells what it is.

    Args:
        shown: prune a graph first; every node is drawn.
        max_edges: draw the edges that carry most influence, `|share| * (influence + w)` of their target.
        curved: draw S-shaped edges, else straight ones.
        width: "single" or "double" column, or inches.
        height: inches; None for what the layers need.
        theme: "light" or "dark".

    Raises:
        ArgumentError: a negative number of edges, or as `style.figure`.

    Example:
        >>> graph.prune().figure(width="single").write_image("circuit.pdf")  # doctest: +SKIP
    """
    if max_edges < 0:
        raise ArgumentError("max_edges", expected="0 or more", got=str(max_edges))
    graph = shown.graph if isinstance(shown, Circuit) else shown
    links, shares = strongest(shown, max(max_edges, LAID))
    tokens = [readable(token) for token in graph.tokens[: graph.n_positions]]
    logits = [f"{readable(target.token)} {target.probability:.2f}" for target in graph.targets]
    frame = fit(shown.nodes, links, tokens, logits, graph.n_layers, width=width, height=height)
    page = frame.page(theme)
    weight = weights(shown)
    sizes = diameters(shown.nodes, weight, frame)
    drawn = Links(*(part[:max_edges] for part in links))
    page.add_traces(
        [
            *edge_traces(shown.nodes, frame, drawn, shares[:max_edges], curved=curved, theme=theme),
            *_node_traces(shown, frame, weight, sizes, theme),
            colour_bar((f"{-FULL:+.0%}", "share of input", f"{FULL:+.0%}"), theme),
        ]
    )
    texts = [
        *frame.texts(shown.nodes),
        *label_notes(shown.nodes, frame, _names(shown, weight, theme), sizes, theme),
        frame.legend(LEGEND, theme),
    ]
    return page.update_layout(annotations=texts)


def strongest(shown: Graph | Circuit, count: int) -> tuple[Links, np.ndarray]:
    """The edges that carry most influence, falling: `|share| * (influence + w)` of their target.

    Returns:
        at most `count` links that are not zero, and the share of its target's input that each is, signed.
    """
    wiring = shown.wiring
    share = pruning.shares(wiring)
    n_features, n_sources = wiring.n_features, share.shape[1]
    index = torch.from_numpy(shown.nodes.index)
    carried = wiring.on_targets(shown.influence[index[:n_sources]]).float()[:, None] * share.abs()
    best = carried.flatten().topk(min(count, int(carried.count_nonzero()))).indices
    target, source = best // n_sources, best % n_sources
    rows = torch.cat([index[:n_features], index[n_sources:]])
    return Links(index[source], rows[target], wiring.edges[target, source]), share[target, source].numpy()


def diameters(nodes: Nodes, weight: np.ndarray, frame: Frame) -> np.ndarray:
    """(nodes,) pixels: areas go with weight, up to the strongest feature's or error's and down to what is just seen."""
    hidden = weight[np.isin(nodes.kind, ["feature", "error"])].max(initial=1e-30)
    return np.maximum(3, frame.largest * np.sqrt(np.clip(weight / hidden, 0.15, 1)))


def edge_traces(
    nodes: Nodes, frame: Frame, links: Links, shares: np.ndarray, *, curved: bool, theme: style.Theme
) -> Iterator[go.Scatter]:
    """Edges as one trace for each shade, the faintest first."""
    source, target = (np.searchsorted(nodes.index, np.asarray(ends)) for ends in links[:2])
    level = np.ceil(np.clip(np.abs(shares) / FULL, 1 / SHADES, 1) * SHADES).astype(int)
    sign_of = np.where(shares < 0, -1, 1)
    along, up = S_CURVE if curved else STRAIGHT
    x, y = frame.layout.x, frame.layout.y
    xs = x[source, None] + (x[target] - x[source])[:, None] * along
    ys = y[source, None] + (y[target] - y[source])[:, None] * up
    for shade in range(1, SHADES + 1):
        for sign in (-1, 1):
            these = (level == shade) & (sign_of == sign)
            if these.any():
                strength = shade / SHADES
                yield go.Scatter(
                    x=_broken(xs[these]),
                    y=_broken(ys[these]),
                    mode="lines",
                    line={
                        "color": sample_colorscale(_scale(theme), 0.5 + sign * strength / 2)[0],
                        "width": frame.largest / 14 * (0.5 + 1.5 * strength),
                    },
                    hoverinfo="skip",
                )


def _broken(points: np.ndarray) -> np.ndarray:
    """(edges, points) in one line with a gap after each."""
    return np.pad(points, ((0, 0), (0, 1)), constant_values=np.nan).ravel()


def _scale(theme: style.Theme) -> list[list[Any]]:
    return [[0, style.NEGATIVE], [0.5, style.GRID[theme]], [1, style.POSITIVE]]


def _node_traces(
    shown: Graph | Circuit, frame: Frame, weight: np.ndarray, sizes: np.ndarray, theme: style.Theme
) -> Iterator[go.Scatter]:
    nodes, notes = shown.nodes, shown.annotations.notes
    fill = {"feature": style.BEFORE, "error": style.PAPER[theme], "token": style.INK[theme], "logit": style.INK[theme]}
    colour = np.array([fill[kind] for kind in nodes.kind.tolist()], object)
    for group, shade in zip(notes.supernodes, GROUPS * len(notes.supernodes)):
        colour[np.isin(nodes.index, [node.index for node in group.nodes])] = shade
    pinned = np.isin(nodes.index, [node.index for node in notes.pinned])
    for kind, symbol in SYMBOLS.items():
        these = nodes.kind == kind
        rim = style.MUTED[theme] if kind == "error" else style.PAPER[theme]
        yield go.Scatter(
            x=frame.layout.x[these],
            y=frame.layout.y[these],
            mode="markers",
            marker={
                "symbol": symbol,
                "size": sizes[these],
                "color": colour[these],
                "opacity": 1,
                "line": {
                    "width": np.where(pinned[these], 1.5, 0.75),
                    "color": np.where(pinned[these], style.INK[theme], rim),
                },
            },
            hovertext=[
                f"{markup(repr(node))}<br>influence {influence:.3g}"
                for node, influence in zip(nodes[these], weight[these])
            ],
            hoverinfo="text",
        )


def _names(shown: Graph | Circuit, weight: np.ndarray, theme: style.Theme) -> dict[int, tuple[str, str]]:
    """Text and colour by index of a node: names of supernodes at their strongest member, then labels."""
    notes = shown.annotations.notes
    strength = dict(zip(shown.nodes.index.tolist(), weight.tolist()))
    texts: dict[int, tuple[str, str]] = {}
    for group, shade in zip(notes.supernodes, GROUPS * len(notes.supernodes)):
        members = [node.index for node in group.nodes if node.index in strength]
        if members:
            texts[max(members, key=strength.__getitem__)] = (group.name, shade)
    labels = {node.index: text for node, text in dict(notes.labels).items() if node.index in strength}
    for index in sorted(labels, key=strength.__getitem__, reverse=True):
        texts.setdefault(index, (labels[index], style.INK[theme]))
    return texts


def label_notes(
    nodes: Nodes, frame: Frame, texts: Mapping[int, tuple[str, str]], sizes: np.ndarray, theme: style.Theme
) -> Iterator[dict[str, Any]]:
    """Texts beside nodes as Plotly's annotations, as many as find room, the first ones first.

    Args:
        nodes: all that are drawn.
        frame: where.
        texts: text and colour by index of a node.
        sizes: (nodes,) diameters in pixels.
        theme: "light" or "dark".
    """
    local = np.searchsorted(nodes.index, list(texts))
    places = frame.pixels(frame.layout.x, frame.layout.y)
    radius = sizes[:, None] / 2
    boxes = np.c_[places - radius, places + radius]
    names = [readable(text, 40) for text, _ in texts.values()]
    found = place_labels(places[local], sizes[local] / 2 + 1, names, TEXT, boxes, np.r_[0, 0, frame.size])
    for name, (_, colour), box in zip(names, texts.values(), found):
        if box is not None:
            x, y = frame.units(box[:2])
            yield {
                "x": x,
                "y": y,
                "text": markup(name),
                "showarrow": False,
                "xanchor": "left",
                "yanchor": "bottom",
                "borderpad": 0,
                "bgcolor": f"{style.PAPER[theme]}b0",
                "font": {"color": colour},
            }


def colour_bar(names: Sequence[str], theme: style.Theme) -> go.Scatter:
    """The scale of the edges in the lower right corner; names of its lower end, middle and upper end."""
    return go.Scatter(
        x=[None],
        y=[None],
        mode="markers",
        hoverinfo="skip",
        marker={
            "color": [0],
            "cmin": -FULL,
            "cmax": FULL,
            "colorscale": _scale(theme),
            "colorbar": {
                "orientation": "h",
                "thickness": 5,
                "len": 96,
                "lenmode": "pixels",
                "x": 1,
                "xref": "container",
                "xanchor": "right",
                "y": 0,
                "yref": "container",
                "yanchor": "bottom",
                "outlinewidth": 0,
                "tickvals": [-FULL, 0, FULL],
                "ticktext": list(names),
                "ticklen": 0,
                "ypad": GAP,
                "xpad": GAP,
                "tickfont": {"size": style.pixels(6)},
            },
        },
    )
