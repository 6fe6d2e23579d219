"""Predictions of a graph set against measurements: by feature, by pair of features, by distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data import Graph
from .ablations import Ablations, Laboratory
from .correlations import Correlation, correlate, mean
from .paths import Paths
from .records import Distance, FeatureEffect, Pair

FAINT = 1e-6
"""Influence, on the targets or of one feature on another, below which float32 measures nothing."""
SHOWN_PAIRS = 1500
"""Pairs of features kept for the figure."""


def by_feature(laboratory: Laboratory, chosen: Tensor, signed: Paths, done: Ablations) -> tuple[FeatureEffect, ...]:
    """What the graph says of each ablated feature, and what ablating it did."""
    graph, before = laboratory.graph, laboratory.before.target
    direct = (laboratory.weights @ graph.edges[graph.wiring.n_features :].double())[chosen]
    columns: Any = zip(
        graph.nodes[chosen.numpy()],
        graph.influence[chosen].tolist(),
        direct.tolist(),
        (laboratory.weights @ signed.logits).tolist(),
        (before - done.own.target).tolist(),
        done.own.kl.tolist(),
        done.others,
        (before - done.random.target).tolist(),
        done.random.kl.tolist(),
    )
    return tuple(
        FeatureEffect(node.layer, node.position, graph.tokens[node.position], node.feature, node.activation, *numbers)
        for node, *numbers in columns
    )


def by_pair(graph: Graph, chosen: Tensor, signed: Paths, unsigned: Paths, done: Ablations) -> dict[str, np.ndarray]:
    """Every ablated feature with every feature that it influences, as columns named by the fields of `Pair`."""
    target, source = (unsigned.features > FAINT).nonzero(as_tuple=True)
    activations = torch.from_numpy(graph.nodes.activation)[target].double()
    columns = {
        "source": chosen[source],
        "target": target,
        "influence": unsigned.features[target, source],
        "predicted": signed.features[target, source],
        "measured": done.fell[target, source] / activations,
        "null": done.fell_at_random[target, source] / activations,
    }
    return {name: column.numpy() for name, column in columns.items()}


def sample(pairs: dict[str, np.ndarray], seed: int) -> tuple[Pair, ...]:
    """Pairs drawn at random."""
    count = len(pairs["source"])
    drawn = np.sort(np.random.default_rng(seed).choice(count, min(count, SHOWN_PAIRS), replace=False))
    return tuple(Pair(*values) for values in zip(*(pairs[name][drawn].tolist() for name in Pair._fields)))


def of_targets(rows: Sequence[FeatureEffect], seed: int) -> list[Correlation]:
    """Correlations over features: signed effects with the target logits, sizes with the next token's divergence."""
    columns = dict(zip(FeatureEffect._fields, map(np.array, zip(*rows))))
    sizes = {
        "influence": columns["influence"],
        "direct edge": np.abs(columns["direct"]),
        "activation": columns["activation"],
    }
    signed = {"all paths": columns["total"], "direct edge": columns["direct"]}
    found = []
    for null, target, kl in ((False, "measured", "kl"), (True, "null_measured", "null_kl")):
        there = np.flatnonzero(~np.isnan(columns[target]))
        for outcome, measured, predictions in (("target logits", target, signed), ("KL divergence", kl, sizes)):
            y, logarithmic = columns[measured][there], predictions is sizes
            for name, x in predictions.items():
                found.append(
                    correlate(name, outcome, x[there], y, there, seed=seed, null=null, logarithmic=logarithmic)
                )
    return found


def of_pairs(pairs: dict[str, np.ndarray], seed: int) -> list[Correlation]:
    """Correlations over pairs: influence with the size of the change, effects over all paths with the change."""
    found, outcome = [], "later features"
    for null, measured in ((False, "measured"), (True, "null")):
        there = ~np.isnan(pairs[measured])
        x, signed, y, groups = (pairs[name][there] for name in ("influence", "predicted", measured, "source"))
        found.append(correlate("influence", outcome, x, np.abs(y), groups, seed=seed, null=null, logarithmic=True))
        found.append(correlate("all paths", outcome, signed, y, groups, seed=seed, null=null))
    return found


def by_distance(graph: Graph, chosen: Tensor, signed: Paths, done: Ablations, seed: int) -> tuple[Distance, ...]:
    """Predicted against measured changes of all features of a layer, by its distance from the ablated feature."""
    layers, own = graph.wiring.layers, graph.wiring.layers[chosen]
    predicted = signed.features * torch.from_numpy(graph.nodes.activation[: len(layers)]).double()[:, None]
    found: dict[int, list[tuple[float, ...]]] = {}
    for column, source in enumerate(own.tolist()):
        for layer in range(source + 1, graph.n_layers):
            here = layers == layer
            p, m, null = (x[here, column].double() for x in (predicted, done.fell, done.fell_at_random))
            if p.any() and m.any():
                cosine, chance = (torch.cosine_similarity(p, x, dim=0, eps=0).item() for x in (m, null))
                numbers = cosine, chance, (p - m).square().sum().item(), m.square().sum().item()
                found.setdefault(layer - source, []).append(numbers)
    return tuple(_distance(apart, np.array(rows), seed) for apart, rows in sorted(found.items()))


def _distance(apart: int, rows: np.ndarray, seed: int) -> Distance:
    cosines, chances, errors, totals = rows.T
    error = float(errors.sum() / totals.sum())
    return Distance(apart, len(rows), mean(cosines, seed), error, mean(chances[~np.isnan(chances)], seed))
