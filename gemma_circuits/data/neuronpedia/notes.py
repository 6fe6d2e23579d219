"""Annotations as the viewers keep them: in `qParams`, and in the `clerp` of each node."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

from ..annotations import Supernode
from ..circuit import Circuit
from ..graph import Graph
from ..nodes import Node, Nodes
from .names import KIND_OF, feature_number, node_id, subgraph_order

_ID = re.compile(r"(E|L|\d+)_-?\d+_\d+")
_AUTOMATIC = {"token": ("Emb:",), "error": ("Err:",), "logit": ("",)}
"""What begins a `clerp` that is no label, but says what the file says of the node anyhow."""
_READ = ("pinnedIds", "supernodes", "clerps", "sg_pos")


class Written(NamedTuple):
    """Annotations in the parts of a file."""

    params: dict[str, Any]
    """`qParams`."""
    labels: dict[int, str]
    """Label by index of the node."""
    extra: dict[str, Any]
    """What the format has no place for: `unpinned`, members of groups that are pinned only because viewers draw no
    others; `nodes` and `groups`, (x, y) by node id and by name, which `sg_pos` does not say."""


def write_notes(shown: Graph | Circuit, unread: Mapping[str, Any]) -> Written:
    """The annotations of the nodes shown, and again what `read_notes` returned."""
    notes, ids = shown.annotations.notes, {node.index: node_id(node) for node in shown.nodes}
    groups = [(group.name, [node for node in group.nodes if node.index in ids]) for group in notes.supernodes]
    groups = [(name, nodes) for name, nodes in groups if nodes]
    pinned = [node for node in notes.pinned if node.index in ids]
    members = [node for _, nodes in groups for node in nodes if node not in pinned]
    places = {key: xy for key, xy in dict(notes.positions).items() if isinstance(key, str) or key.index in ids}

    params: dict[str, Any] = {"linkType": "both", "clickedId": "", **unread, "sg_pos": ""}
    order = subgraph_order(sorted([*pinned, *members], key=lambda node: node.index), groups)
    if order and all(key in places for key in order):
        params["sg_pos"] = " ".join(f"{x:.0f}" if x == int(x) else repr(x) for key in order for x in places.pop(key))
    lost = {name: rest for name, *rest in unread.get("supernodes", [])}
    params["supernodes"] = [
        [name, *(ids[node.index] for node in nodes), *lost.pop(name, [])] for name, nodes in groups
    ] + [[name, *rest] for name, rest in lost.items()]
    pins = (ids[node.index] for node in [*pinned, *members])
    params["pinnedIds"] = list(dict.fromkeys([*pins, *unread.get("pinnedIds", [])]))
    extra = {
        "unpinned": [ids[node.index] for node in members],
        "nodes": {ids[key.index]: list(xy) for key, xy in places.items() if isinstance(key, Node)},
        "groups": {key: list(xy) for key, xy in places.items() if isinstance(key, str)},
    }
    labels = {node.index: text for node, text in dict(notes.labels).items()}
    return Written(params, labels, {name: part for name, part in extra.items() if part})


def read_notes(
    nodes: Nodes,
    in_file: Sequence[tuple[Mapping[str, Any], int]],
    places: Mapping[str, int],
    params: Mapping[str, Any],
    extra: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a file says of a graph beyond its numbers.

    Args:
        nodes: the graph's.
        in_file: the nodes of the file in its order, each with its index in the graph.
        places: index in the graph by node id.
        params: `qParams`; lists may also be JSON in a string, or joined by commas.
        extra: as of `Written`.

    Returns:
        arguments of `Annotations.update`, and what of `params` was not read: ids of nodes that the file does not list,
        members of a second group, labels of other features, places that do not fit the subgraph, and all that is no
        annotation.
    """
    groups, lost = _groups(params.get("supernodes"), places)
    labels, clerps = _labels(nodes, in_file, params.get("clerps"))
    pins = [str(name) for name in _listed(params.get("pinnedIds"))]
    drawn = dict.fromkeys(places[name] for name in pins if name in places)
    grouped = {index for members in groups.values() for index in members}
    unpinned = {places[name] for name in extra.get("unpinned", []) if name in places} & grouped

    positions: dict[int | str, Any] = {places[name]: xy for name, xy in extra.get("nodes", {}).items()}
    positions |= extra.get("groups", {})
    shown = [(name, [nodes[index] for index in members if index in drawn]) for name, members in groups.items()]
    alone = [nodes[index] for _, index in in_file if index in drawn]
    order = subgraph_order(alone, [(name, members) for name, members in shown if members])
    numbers, sg_pos = _numbers(params.get("sg_pos")), None
    if numbers and len(numbers) == 2 * len(order):
        keys = (key if isinstance(key, str) else key.index for key in order)
        positions |= dict(zip(keys, zip(numbers[::2], numbers[1::2])))
    else:
        sg_pos = params.get("sg_pos")

    found = {
        "pinned": [index for index in drawn if index not in unpinned],
        "supernodes": [Supernode(name, members) for name, members in groups.items()],
        "labels": labels,
        "positions": positions,
    }
    pinned_ids = [name for name in pins if name not in places]
    unread = {**params, "pinnedIds": pinned_ids, "supernodes": lost, "clerps": clerps, "sg_pos": sg_pos}
    return found, {key: value for key, value in unread.items() if value or key not in _READ}


def _groups(value: Any, places: Mapping[str, int]) -> tuple[dict[str, list[int]], list[list[str]]]:
    """Members by name, each in one group, and what is left of `supernodes`."""
    groups: dict[str, list[int]] = {}
    lost: list[list[str]] = []
    taken: set[int] = set()
    for label, *ids in _split(value, places):
        name, copies = label, 1
        while name in groups:  # the viewers call every new group "supernode"
            name = f"{label} ({(copies := copies + 1)})"
        groups[name] = list(dict.fromkeys(places[i] for i in ids if i in places and places[i] not in taken))
        taken.update(groups[name])
        rest = [i for i in ids if i not in places or places[i] not in groups[name]]
        if rest:
            lost.append([name, *rest])
    return groups, lost


def _split(value: Any, places: Container[str]) -> Iterable[list[str]]:
    """Groups as [label, id, ...]."""
    if isinstance(value, str) and value and not value.startswith("["):
        value = [value]
    for group in _listed(value):
        if not isinstance(group, str):
            yield [str(part) for part in group]
            continue
        found: list[list[str]] = []
        for part in group.split(","):
            if found and (part in places or _ID.fullmatch(part)):
                found[-1].append(part)
            elif found and len(found[-1]) == 1:  # a comma within the label
                found[-1][0] += f",{part}"
            else:
                found.append([part])
        yield from found


def _labels(nodes: Nodes, in_file: Iterable[tuple[Mapping[str, Any], int]], clerps: Any) -> tuple[dict[int, str], Any]:
    """Label by index, and the entries of `clerps` (pairs of feature number and label) for features not listed."""
    given = {
        str(number): str(text) for number, text in (json.loads(clerps) if isinstance(clerps, str) else clerps or [])
    }
    found, used = {}, set()
    for raw, index in in_file:
        number, kind = str(feature_number(nodes[index])), KIND_OF[raw["feature_type"]]
        text = raw.get("localClerp") or raw.get("clerp") or ""
        if kind == "feature" and number in given:
            used.add(number)
            text = given[number]
        elif not raw.get("localClerp") and text.startswith(_AUTOMATIC.get(kind, ())):
            continue
        found[index] = text
    other = [[number, text] for number, text in given.items() if number not in used]
    return found, json.dumps(other) if other and isinstance(clerps, str) else other


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, str):
        return list(value or [])
    return json.loads(value) if value.startswith("[") else [part for part in value.split(",") if part]


def _numbers(value: Any) -> list[float]:
    """Empty unless they are finite numbers, as a text or a list."""
    try:
        numbers = [float(part) for part in (value.split() if isinstance(value, str) else value or [])]
    except (TypeError, ValueError):
        return []
    return numbers if all(map(isfinite, numbers)) else []
