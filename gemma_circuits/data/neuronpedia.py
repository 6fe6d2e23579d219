"""Graphs as the JSON that Neuronpedia and the viewers of circuit-tracer and Anthropic read and write."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isfinite, isqrt
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from .circuit import Circuit
from .errors import ArgumentError, GraphFileError
from .files import replace_file
from .graph import Graph
from .nodes import KINDS, Kind, Node, Nodes, Target
from .pruning import cumulative
from .verbs import Verbs

_TYPES: dict[str, Kind] = {
    "cross layer transcoder": "feature",
    "mlp reconstruction error": "error",
    "embedding": "token",
    "logit": "logit",
}
_NAMES = {kind: name for name, kind in _TYPES.items()}
_LOGIT = re.compile(r'"(?P<token>.*)"\s*\(p=(?P<probability>[0-9.eE+-]+)\)', re.DOTALL)


def pair(layer: int, feature: int) -> int:
    """Cantor's number of a pair: one integer for layer and feature."""
    return (layer + feature) * (layer + feature + 1) // 2 + feature


def unpair(number: int) -> tuple[int, int]:
    """The (layer, feature) of Cantor's number."""
    diagonal = (isqrt(8 * number + 1) - 1) // 2
    feature = number - diagonal * (diagonal + 1) // 2
    return diagonal - feature, feature


def node_id(node: Node) -> str:
    """The node's id in such files: unique within a graph."""
    if node.kind == "token":
        return f"E_{node.token_id}_{node.position}"
    if node.kind == "logit":
        return f"{node.layer + 1}_{node.token_id}_{node.position}"
    return f"{node.layer}_{node.feature}_{node.position}"


def export(
    shown: Verbs,
    path: str | PathLike[str] | None = None,
    *,
    slug: str | None = None,
    scan: str | None = None,
    transcoders: Iterable[str] | None = None,
    pinned: Iterable[Node] | None = None,
    supernodes: Mapping[str, Iterable[Node]] | None = None,
) -> dict[str, Any]:
    """A graph or circuit as a JSON value, written to `path` if given.

    Args:
        shown: a `Graph` or `Circuit`: every node of it becomes a node, every edge that is not zero a link.
        path: file to write.
        slug: name of the graph in a viewer's list; by default made from the prompt.
        scan: the model's name there; by default the last part of `metadata["model"]`.
        transcoders: ids of the dictionaries; by default `metadata["transcoder"]`.
        pinned: nodes to pin; by default those of the file that the graph was read from.
        supernodes: label to members; likewise.

    Raises:
        StorageError: `path` could not be written.
    """
    graph = shown.graph if isinstance(shown, Circuit) else shown
    assert isinstance(graph, Graph)
    metadata, imported = graph.metadata, graph.metadata.get("neuronpedia", {})
    head = {
        "slug": re.sub(r"\W+", "-", graph.prompt.lower()).strip("-")[:60] or "graph",
        "scan": str(metadata.get("model", "")).rstrip("/").rpartition("/")[2],
        "transcoder_list": [str(metadata["transcoder"])] if "transcoder" in metadata else [],
        "schema_version": 1,
        **imported.get("metadata", {}),
        "prompt_tokens": list(graph.tokens),
        "prompt": graph.prompt,
    }
    given = {"slug": slug, "scan": scan, "transcoder_list": transcoders and list(transcoders)}
    head |= {name: value for name, value in given.items() if value is not None}
    thresholds = {name: getattr(shown, name, None) for name in ("node_threshold", "edge_threshold")}
    if thresholds["node_threshold"] is not None:
        head |= {"node_threshold": thresholds["node_threshold"], "pruning_settings": thresholds}
    params = {"pinnedIds": [], "supernodes": [], "linkType": "both", "clickedId": "", "sg_pos": ""}
    params |= imported.get("qParams", {})
    if pinned is not None:
        params["pinnedIds"] = [node_id(node) for node in pinned]
    if supernodes is not None:
        params["supernodes"] = [[label, *map(node_id, members)] for label, members in supernodes.items()]
    share = cumulative(graph.influence).tolist()
    ids = {node.index: node_id(node) for node in shown.nodes}
    out = {
        "metadata": head,
        "qParams": params,
        "nodes": [_node(node, graph, share[node.index]) for node in shown.nodes],
        "links": [
            {"source": ids[source], "target": ids[target], "weight": weight}
            for source, target, weight in zip(*(column.tolist() for column in shown.links()))
        ],
    }
    if path is not None:
        text = json.dumps(out, allow_nan=False)
        replace_file(path, lambda temporary: temporary.write_text(text, "utf-8"))
    return out


def _node(node: Node, graph: Graph, influence: float) -> dict[str, Any]:
    identity = node_id(node)
    layer, middle, position = identity.split("_")
    token = graph.tokens[node.position]
    out = {
        "node_id": identity,
        "feature": {
            "feature": pair(node.layer, node.feature),
            "logit": node.token_id,
            "token": node.position,
        }.get(node.kind, -1),
        "layer": layer,
        "ctx_idx": node.position,
        "feature_type": _NAMES[node.kind],
        "jsNodeId": f"{layer}_{middle}-{position}",
        "clerp": {
            "error": f'Err: mlp "{token}"',
            "token": f'Emb: "{token}"',
            "logit": f'Output "{node.token}" (p={node.probability:.3f})',
        }.get(node.kind, ""),
    }
    if node.kind == "logit":
        probability = graph.targets[node.index - len(graph.nodes) + len(graph.targets)].probability
        return out | {
            "token_prob": probability,
            "is_target_logit": node.index == len(graph.nodes) - len(graph.targets),
        }
    out["influence"] = influence
    if isfinite(node.activation):
        out["activation"] = node.activation
    return out


def read(source: str | PathLike[str] | Mapping[str, Any]) -> Graph:
    """A graph from such JSON: a file, or its value.

    Edges that the file does not list count as zero, and nodes that it does not list do not exist. Bias and
    pre-activations are not in the format: they are NaN, and so is `check()`. Pins and supernodes stay in
    `metadata["neuronpedia"]` and are written out again.

    Raises:
        FileNotFoundError: no such file.
        GraphFileError: not such a graph.
    """
    place = "graph JSON" if isinstance(source, Mapping) else str(source)
    try:
        value = source if isinstance(source, Mapping) else json.loads(Path(source).read_bytes())
        return _graph(value)
    except (GraphFileError, FileNotFoundError):
        raise
    except (
        ArgumentError,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
    ) as error:
        raise GraphFileError(
            place, expected="a graph as Neuronpedia's JSON", got=f"{type(error).__name__}: {error}"
        ) from error


def _graph(value: Mapping[str, Any]) -> Graph:
    head = dict(value["metadata"])
    tokens, prompt = head.pop("prompt_tokens"), head.pop("prompt")
    ids = [str(raw["node_id"]) for raw in value["nodes"]]
    found = [_parse(raw) for raw in value["nodes"]]
    n_layers = max(node.layer + (node.kind != "logit") for node in found)
    order = sorted(range(len(found)), key=lambda i: (KINDS.index(found[i].kind), *_place(found[i])))
    nodes = [found[i] for i in order]
    places, twins = _places([ids[i] for i in order], nodes)
    targets = [Target(node.token, node.token_id, node.probability) for node in nodes if node.kind == "logit"]
    n_features, n_sources = sum(node.kind == "feature" for node in nodes), len(nodes) - len(targets)
    source, target, weight = _links(value["links"], places, twins).T
    if bool(((source >= n_sources) | (target >= n_features) & (target < n_sources)).any()):
        raise GraphFileError("graph JSON, links", expected="from no logit, and to features and logits")
    edges = torch.zeros(n_features + len(targets), n_sources)
    rows = torch.where(target < n_features, target, target - n_sources + n_features)
    edges[rows.long(), source.long()] = weight.float()
    read = {node.position: node.token_id for node in nodes if node.kind == "token"}
    unknown = torch.full((len(edges),), torch.nan)
    return Graph(
        prompt=prompt,
        tokens=tokens,
        token_ids=tuple(read.get(i, -1) for i in range(len(tokens))),
        nodes=Nodes.of([replace(node, layer=n_layers) if node.kind == "logit" else node for node in nodes]),
        edges=edges,
        target_bias=unknown,
        target_pre_activations=unknown,
        targets=tuple(targets),
        metadata={"neuronpedia": {"metadata": head, "qParams": _params(value.get("qParams", {}))}},
    )


def _parse(raw: Mapping[str, Any]) -> Node:
    kind = _TYPES.get(raw["feature_type"])
    if kind is None:
        raise GraphFileError("graph JSON, feature_type", expected=" or ".join(_TYPES), got=repr(raw["feature_type"]))
    middle = str(raw["node_id"]).split("_")[1:2]
    number = int(middle[0]) if middle and middle[0].isdecimal() else raw["feature"]
    layer, position = str(raw["layer"]), int(raw["ctx_idx"])
    if kind == "token":
        return Node(kind, -1, position, token_id=int(number))
    if kind == "error":
        return Node(kind, int(layer), position)
    if kind == "feature":
        of_pair = unpair(int(raw["feature"]))
        feature = of_pair[1] if of_pair[0] == int(layer) else int(number)
        activation = raw.get("activation")
        return Node(kind, int(layer), position, feature, activation=float("nan" if activation is None else activation))
    text = _LOGIT.search(raw.get("clerp") or "")
    probability = raw.get("token_prob") or (text["probability"] if text else raw["token_prob"])
    # some writers name the last layer "L": the other nodes then tell how many there are
    layer = int(layer) - 1 if layer.isdecimal() else 0
    return Node(
        kind,
        layer,
        position,
        token_id=int(number),
        probability=float(probability),
        token=text["token"] if text else "",
    )


def _place(node: Node) -> tuple[int, ...]:
    """Order within a kind; logits stay in the order of the file."""
    return () if node.kind == "logit" else (node.layer, node.position, node.feature)


def _places(ids: list[str], nodes: list[Node]) -> tuple[dict[str, int], dict[int, int]]:
    """Node id to place in the graph, and place of a feature to that of the error with the same id.

    Old files call the error of layer l at position p `0_l_p`, which is also feature l of layer 0.
    """
    places: dict[str, int] = {}
    twins: dict[int, int] = {}
    for i, (name, node) in enumerate(zip(ids, nodes)):
        if places.setdefault(name, i) == i:
            continue
        if node.kind != "error" or name != f"0_{node.layer}_{node.position}":
            raise GraphFileError("graph JSON, node_id", expected="each id once", got=repr(name))
        twins[places[name]] = i
    if twins:
        names = ", ".join(ids[i] for i in twins)
        warnings.warn(
            f"graph JSON: {names} each name a feature and an error; of two equal links the second is taken for the "
            "error's, a single one for the feature's",
            stacklevel=2,
        )
    return places, twins


def _links(raw: Iterable[Mapping[str, Any]], places: dict[str, int], twins: dict[int, int]) -> torch.Tensor:
    """(links, 3) float64: source, target, weight."""
    links: dict[tuple[int, int], float] = {}
    for link in raw:
        source, target = places[link["source"]], places[link["target"]]
        if (source, target) in links:
            if source not in twins:
                raise GraphFileError("graph JSON, links", expected="each link once", got=repr(dict(link)))
            source = twins[source]
        links[source, target] = float(link["weight"])
    return torch.tensor([(*ends, weight) for ends, weight in links.items()], dtype=torch.float64).reshape(-1, 3)


def _params(raw: Mapping[str, Any]) -> dict[str, Any]:
    """`qParams` with lists where some writers put comma-joined strings."""

    def listed(value: Any) -> list[Any]:
        if not isinstance(value, str):
            return list(value or [])
        return json.loads(value) if value.startswith("[") else [part for part in value.split(",") if part]

    groups = [listed(group) for group in listed(raw.get("supernodes"))]
    return {**raw, "pinnedIds": listed(raw.get("pinnedIds")), "supernodes": groups}
