"""How alike features of a graph are: in their labels, what they write, when they fire, and their part in the graph."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..attribution.progress import Progress
from ..data import Graph, Nodes
from ..data.errors import ShardError
from ..models import ReplacementModel
from .directions import place_of, writes
from .search import active_on_each, as_prompt
from .store import Store

TEXTS = 4
"""Texts of each feature on which it is seen which others fire."""
FILLERS = frozenset(
    {"a", "after", "an", "and", "at", "fires", "in", "is", "more", "of", "on", "or", "position", "promotes"}
    | {"somewhere", "that", "the", "to", "with"}
)
"""Words of labels that say nothing about a feature."""


@dataclass(frozen=True, eq=False)
class Known:
    """What there is to compare the features of a graph by; rows are its nodes."""

    labels: list[str]
    """By a person on this graph, else of the store; empty where there is none."""
    inputs: np.ndarray
    """(nodes, sources): incoming edges."""
    outputs: np.ndarray
    """(nodes, targets): outgoing edges, relative to their target's whole input, times the target's influence."""
    writes: Tensor | None
    """(nodes, d): what each adds to the residual stream here; None without a model."""
    fires: np.ndarray | None
    """(nodes, tokens) bool: where each fires in texts of the store; None without a model and a store."""
    tokens: list[str]
    """Of these texts."""


def known(graph: Graph, nodes: Nodes, model: ReplacementModel | None, store: Store | None, progress: Progress) -> Known:
    """Gather it.

    Args:
        graph: the graph.
        nodes: features of it.
        model: the graph's, or None.
        store: of this model, or None.
        progress: its bars.

    Raises:
        NodeError: a graph of another model.
        StoreMismatchError: a store of another model.
    """
    if model is not None and store is not None:
        store.check(model)
    edges, wiring = graph.edges, graph.wiring
    whole = graph.incoming
    share = wiring.on_targets(graph.influence) / whole.where(whole > 0, torch.inf)
    fires, tokens = _firing(model, nodes, store, progress) if model is not None and store is not None else (None, [])
    mine, theirs = dict(graph.annotations.notes.labels), store.labelled() if store is not None else {}
    labels = []
    for node in nodes:
        label = theirs.get((node.layer, node.feature))
        labels.append(mine.get(node) or (label.text if label else ""))
    return Known(
        labels=labels,
        inputs=edges[nodes.index].numpy(),
        outputs=(edges[:, nodes.index].T * share.float()).numpy(),
        writes=_writes(model, nodes) if model is not None else None,
        fires=fires,
        tokens=tokens,
    )


def likeness(known: Known, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Similarities of some nodes, (rows, rows) by kind, each 1 at most; NaN where one is not known.

    What all of them share tells none from another, so edges are compared after taking away their mean.
    """
    found = {"inputs": _cosine(_centred(known.inputs[rows])), "outputs": _cosine(_centred(known.outputs[rows]))}
    if any(known.labels):
        bags = [words(known.labels[row]) for row in rows]
        found["labels"] = np.array([[len(a & b) / len(a | b) if a and b else np.nan for b in bags] for a in bags])
    if known.writes is not None:
        found["decoders"] = _cosine(known.writes[rows].numpy())
    if known.fires is not None:
        fires = known.fires[rows].astype(np.float32)
        found["co-activation"] = _cosine(fires - fires.mean(1, keepdims=True))
    return found


def words(label: str) -> frozenset[str]:
    """Those of a label that say something about the feature."""
    return frozenset(re.findall(r"\w+", label.lower())) - FILLERS


def _writes(model: ReplacementModel, nodes: Nodes) -> Tensor:
    rows = torch.empty(len(nodes), model.d_model)
    for layer in np.unique(nodes.layer).tolist():
        mine = np.flatnonzero(nodes.layer == layer)
        place_of(model, (layer, int(nodes.feature[mine].max())))
        rows[mine] = writes(model, layer, torch.tensor(nodes.feature[mine]))
    return rows * torch.tensor(nodes.activation)[:, None]


def _firing(model: ReplacementModel, nodes: Nodes, store: Store, progress: Progress) -> tuple[np.ndarray, list[str]]:
    code = nodes.layer * model.transcoder.n_features + nodes.feature
    codes, row = np.unique(code, return_inverse=True)
    texts: dict[tuple[int, ...], None] = {}
    for place in dict.fromkeys(zip(nodes.layer.tolist(), nodes.feature.tolist())):
        try:
            texts |= dict.fromkeys(as_prompt(model, example) for example in store[place].examples[:TEXTS])
        except ShardError:
            continue
    fires, tokens = [np.empty((len(codes), 0), bool)], []
    for run in active_on_each(model, list(texts), progress):
        found = run.nodes.layer * model.transcoder.n_features + run.nodes.feature
        place = np.searchsorted(codes, found).clip(max=len(codes) - 1)
        here = codes[place] == found
        fired = np.zeros((len(codes), len(run.prompt)), bool)
        fired[place[here], run.nodes.position[here]] = True
        fires.append(fired[:, run.prompt.ignored :])
        tokens += run.prompt.tokens[run.prompt.ignored :]
    return np.concatenate(fires, 1)[row], tokens


def _centred(rows: np.ndarray) -> np.ndarray:
    return rows - rows.mean(0)


def _cosine(rows: np.ndarray) -> np.ndarray:
    """(n, n); NaN beside a row of zeros."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.divide(rows, length, out=np.full(rows.shape, np.nan, rows.dtype), where=length > 0)
    return unit @ unit.T
