"""Graphs and circuits to the viewers' JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from math import isfinite
from os import PathLike
from typing import Any

from ..circuit import Circuit
from ..errors import ArgumentError
from ..files import replace_file
from ..graph import Graph
from ..nodes import Node
from ..pruning import cumulative
from ..verbs import Verbs
from .names import TYPE_OF, feature_number, node_id
from .notes import write_notes


def export(
    shown: Verbs,
    path: str | PathLike[str] | None = None,
    *,
    slug: str | None = None,
    scan: str | None = None,
    transcoders: Iterable[str] | None = None,
) -> dict[str, Any]:
    """A graph or circuit as a JSON value, written to `path` if given.

    Annotations go along: pins and supernodes (viewers draw pinned members only, so that all members are pinned),
    labels, and places, which viewers take as thousandths of their drawing's width and height.

    Args:
        shown: a `Graph` or `Circuit`: every node of it becomes a node, every edge that is not zero a link.
        path: file to write.
        slug: name of the graph in a viewer's list; by default made from the prompt.
        scan: the model's name there; by default the last part of `metadata["model"]`.
        transcoders: ids of the dictionaries; by default `metadata["transcoder"]`.

    Raises:
        StorageError: `path` could not be written.
        ArgumentError: metadata that JSON cannot hold.
    """
    assert isinstance(shown, Graph | Circuit)
    graph = shown.graph if isinstance(shown, Circuit) else shown
    metadata, imported = graph.metadata, graph.metadata.get("neuronpedia", {})
    params, labels, extra = write_notes(shown, imported.get("qParams", {}))
    head = {
        "slug": re.sub(r"\W+", "-", graph.prompt.lower()).strip("-")[:60] or "graph",
        "scan": str(metadata.get("model", "")).rstrip("/").rpartition("/")[2],
        "transcoder_list": [str(metadata["transcoder"])] if "transcoder" in metadata else [],
        **imported.get("metadata", {}),
        "schema_version": 1,
        "prompt_tokens": list(graph.tokens),
        "prompt": graph.prompt,
    }
    given = {"slug": slug, "scan": scan, "transcoder_list": transcoders and list(transcoders)}
    head |= {name: value for name, value in given.items() if value is not None}
    thresholds = {name: getattr(shown, name, None) for name in ("node_threshold", "edge_threshold")}
    if thresholds["node_threshold"] is not None:
        head |= {"node_threshold": thresholds["node_threshold"], "pruning_settings": thresholds}
    if extra:
        head["gemma_circuits"] = extra
    share = cumulative(graph.influence).tolist()
    ids = {node.index: node_id(node) for node in shown.nodes}
    out = {
        "metadata": head,
        "qParams": params,
        "nodes": [_node(node, graph, share[node.index], labels.get(node.index, "")) for node in shown.nodes],
        "links": [
            {"source": ids[source], "target": ids[target], "weight": weight}
            for source, target, weight in zip(*(column.tolist() for column in shown.links()))
        ],
    }
    if path is not None:
        try:
            text = json.dumps(out, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ArgumentError('graph.metadata["neuronpedia"]', expected="JSON values", got=str(error)) from error
        replace_file(path, lambda temporary: temporary.write_text(text, "utf-8"))
    return out


def _node(node: Node, graph: Graph, influence: float, label: str) -> dict[str, Any]:
    identity = node_id(node)
    layer, middle, position = identity.split("_")
    token = graph.tokens[node.position]
    automatic = {
        "error": f'Err: mlp "{token}"',
        "token": f'Emb: "{token}"',
        "logit": f'Output "{node.token}" (p={node.probability:.3f})',
    }.get(node.kind, "")
    out = {
        "node_id": identity,
        "feature": feature_number(node),
        "layer": layer,
        "ctx_idx": node.position,
        "feature_type": TYPE_OF[node.kind],
        "jsNodeId": f"{layer}_{middle}-{position}",
        # viewers read a logit's text and probability from here
        "clerp": automatic if node.kind == "logit" else label or automatic,
    }
    if label and automatic:
        out["localClerp"] = label
    if node.kind == "logit":
        first = len(graph.nodes) - len(graph.targets)
        probability = graph.targets[node.index - first].probability
        return out | {"token_prob": probability, "is_target_logit": node.index == first}
    if isfinite(influence):
        out["influence"] = influence
    if isfinite(node.activation):
        out["activation"] = node.activation
    return out
