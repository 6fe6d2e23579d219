"""Proposals of supernodes: features of one position that are alike in what they say, write, read and act on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from ..attribution.progress import Progress
from ..data import Circuit, Graph, Nodes, Notes
from ..data.errors import ArgumentError
from ..models import ReplacementModel
from .effects import top_tokens, unembed
from .likeness import Known, known, likeness, words
from .store import Store

LARGEST = 2000
"""Features that are compared at most."""
NAMED = 3
"""Tokens in a reason."""
MEASURES = {
    "inputs": "incoming edges: cosine",
    "outputs": "outgoing edges: cosine",
    "labels": "labels: share of words in common",
    "decoders": "decoders: cosine",
    "co-activation": "firing together: correlation",
}


@dataclass(frozen=True, eq=False, repr=False)
class GroupProposal:
    """A supernode that nobody has accepted yet.

    Example:
        >>> previous = proposal.accept()  # doctest: +SKIP
        >>> graph.annotations.restore(previous)  # undone  # doctest: +SKIP
    """

    graph: Graph
    name: str
    nodes: Nodes
    reasons: tuple[str, ...]
    """Why these belong together, with numbers."""
    influence: float
    """Of its nodes together."""

    def accept(self, name: str | None = None) -> Notes:
        """Store it with the graph, in one change; returns the annotations before, for `graph.annotations.restore`."""
        previous = self.graph.annotations.notes
        self.graph.group(name or self.name, self.nodes)
        return previous

    def __repr__(self) -> str:
        head = f"{self.name!r}: {len(self.nodes)} features, influence {self.influence:.3f}"
        return "\n".join([head, *(f"  {reason}" for reason in self.reasons)])


def propose_groups(
    graph: Graph | Circuit,
    model: ReplacementModel | None = None,
    store: Store | None = None,
    *,
    threshold: float = 0.4,
    progress: bool = True,
) -> list[GroupProposal]:
    """Propose supernodes: groups of features of one position that are alike.

    Evidence, each from 0 (or less) to 1 and counted as far as it is known, with equal weight:

    - labels: the share of words that two labels have in common (of the graph, else of the store);
    - decoders: cosine of what two features add to the residual stream (with a model);
    - co-activation: correlation of firing, over all tokens of examples of these features (with both);
    - inputs: cosine of incoming edges, less their mean over the features of the position;
    - outputs: likewise of outgoing edges, each relative to the whole input of its target and weighted by the
      target's influence.

    Features are joined by average linkage as long as the mean similarity of the groups joined reaches `threshold`.
    Nodes that are in a group already stay there.

    Args:
        graph: or a circuit, of which only the nodes that were kept are grouped.
        model: the graph's model; None to go without decoders and co-activation.
        store: of examples and labels; None to go without.
        threshold: above 0 and below 1; the higher, the fewer and purer. 0.4 gathered the features that tell a state
            best in seven graphs of the pocket model.
        progress: show a bar for what takes long.

    Returns:
        proposals of 2 nodes or more, the most influential first; no node is in two. Nothing changes until `accept`.

    Raises:
        ArgumentError: more than 2,000 features, or a threshold out of range.
        NodeError: a graph of another model.
        StoreMismatchError: a store of another model.

    Example:
        >>> for proposal in propose_groups(graph.prune(), model, store):  # doctest: +SKIP
        ...     print(proposal)
    """
    if not 0 < threshold < 1:
        raise ArgumentError("threshold", expected="above 0 and below 1", got=str(threshold))
    whole = graph.graph if isinstance(graph, Circuit) else graph
    nodes = _free(graph.nodes.where(kind="feature"), whole)
    if len(nodes) > LARGEST:
        raise ArgumentError(
            "graph", expected=f"at most {LARGEST} features", got=str(len(nodes)), remedy="prune it: graph.prune()"
        )
    if len(nodes) < 2:
        return []
    facts = known(whole, nodes, model, store, Progress(progress))
    influence = whole.influence[nodes.index].numpy()
    groups = [
        (rows, evidence)
        for position in np.unique(nodes.position)
        for rows, evidence in _groups(facts, np.flatnonzero(nodes.position == position), threshold)
    ]
    names = {group.name for group in whole.annotations.notes.supernodes}
    found = []
    for rows, evidence in sorted(groups, key=lambda group: -influence[group[0]].sum()):
        name, reasons = _said(whole, nodes[rows], rows, facts, model)
        names.add(name := _distinct(name, names))
        numbers = [f"{MEASURES[kind]} {_in_words(pairs)}" for kind, pairs in evidence.items() if len(pairs)]
        found.append(GroupProposal(whole, name, nodes[rows], (*reasons, *numbers), float(influence[rows].sum())))
    return found


def _free(nodes: Nodes, graph: Graph) -> Nodes:
    """Those in no group."""
    taken = {node.index for group in graph.annotations.notes.supernodes for node in group.nodes}
    return nodes[np.array([index not in taken for index in nodes.index.tolist()], bool)]


def _groups(facts: Known, rows: np.ndarray, threshold: float) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Groups of 2 or more among these rows, with the known similarities of their pairs by kind."""
    if len(rows) < 2:
        return
    evidence = likeness(facts, rows)
    kinds = np.stack(list(evidence.values()))
    # Unlike is no evidence against: features that work together need not write the same.
    similarity = np.nansum(kinds.clip(0), 0) / (~np.isnan(kinds)).sum(0).clip(1)
    distance = 1 - similarity
    np.fill_diagonal(distance, 0)
    label = fcluster(linkage(squareform(distance, checks=False), "average"), 1 - threshold, "distance")
    for group in np.unique(label):
        mine = np.flatnonzero(label == group)
        if len(mine) > 1:
            pairs = np.ix_(mine, mine)
            upper = np.triu_indices(len(mine), 1)
            values = {kind: part[pairs][upper] for kind, part in evidence.items()}
            yield rows[mine], {kind: part[~np.isnan(part)] for kind, part in values.items()}


def _in_words(pairs: np.ndarray) -> str:
    return f"{pairs.mean():.2f} on average ({pairs.min():.2f} to {pairs.max():.2f})"


def _said(
    graph: Graph, members: Nodes, rows: np.ndarray, facts: Known, model: ReplacementModel | None
) -> tuple[str, list[str]]:
    """A name for a group, and what can be said of it in words."""
    position, layers = int(members.position[0]), sorted(set(members.layer.tolist()))
    here = graph.tokens[position]
    span = f"layer {layers[0]}" if len(layers) == 1 else f"layers {layers[0]} to {layers[-1]}"
    name, reasons = f"{here.strip()} ({span})", [f"{len(rows)} features at position {position}, {here!r}, {span}"]
    if facts.fires is not None and (shared := _shared_tokens(facts.fires[rows], facts.tokens, here)):
        fires = ", ".join(f"{word!r} ({count} of {len(rows)})" for word, count in shared)
        reasons.append(f"elsewhere most of them fire together on {fires}")
        name = ", ".join([here.strip(), *(word for word, _ in shared)])
    if model is not None and facts.writes is not None:
        promoted = top_tokens(model, unembed(model, facts.writes[rows].sum(0, keepdim=True))[0], NAMED)
        reasons.append("together they promote " + ", ".join(repr(effect.token) for effect in promoted))
        if position == graph.n_positions - 1:  # where the output is made, that tells more than what they fire on
            name = f"promotes {promoted[0].token.strip()}"
    labels = Counter(facts.labels[row] for row in rows)
    labels.pop("", None)
    if labels:
        name = labels.most_common(1)[0][0]
        common = Counter(word for row in rows for word in sorted(words(facts.labels[row]))).most_common(NAMED)
        reasons.append("labels: " + ", ".join(f"{word!r} in {count} of {len(rows)}" for word, count in common))
    return name, reasons


def _shared_tokens(fires: np.ndarray, tokens: list[str], here: str) -> list[tuple[str, int]]:
    """The words, other than the graph's own, on which most of these features fire at once, and how many do."""
    counts: dict[str, int] = {}
    for token, count in zip(tokens, fires.sum(0).tolist()):
        word = token.strip()
        if word and word != here.strip() and count > len(fires) / 2:
            counts[word] = max(count, counts.get(word, 0))
    return sorted(counts.items(), key=lambda item: -item[1])[:NAMED]


def _distinct(name: str, names: set[str]) -> str:
    if name not in names:
        return name
    return next(f"{name} ({i})" for i in range(2, len(names) + 3) if f"{name} ({i})" not in names)
