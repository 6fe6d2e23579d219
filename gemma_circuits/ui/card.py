"""What a feature is: its label, examples, logits and where it fires on this prompt."""

from __future__ import annotations

import getpass
from typing import Any

import traitlets

from ..data import Circuit, Graph
from ..data.errors import ArgumentError, GemmaCircuitsError
from ..features import Feature, Store, logit_effects
from ..models import ReplacementModel
from ..transcoders.neuronpedia import neuronpedia_source
from .session import Session
from .widget import Widget

EXAMPLES = 8
TOKENS = 8
"""Lines of the lists."""


class FeatureCard(Widget):
    """One feature: its label, what it fires on in texts and on this prompt, and what it does to the logits.

    Args:
        shown: graph or circuit whose session it follows.
        node: the feature to show, as `Annotations.node` takes it; None to follow the selection.
        model: where logits are read; None for the one that the graph was traced on, if it is open.
        store: where labels and examples are read and labels are written; None for the model's own.

    Raises:
        NodeError: a node of another graph.
        ArgumentError: a node that is not a feature.

    Example:
        >>> FeatureCard(graph, graph.node(3, 6, 120))  # doctest: +SKIP
    """

    bundle = "card"
    node = traitlets.Int(-1, read_only=True).tag(sync=True)
    """Index of the node that is shown; -1 to follow the selection."""

    def __init__(
        self,
        shown: Graph | Circuit,
        node: Any = None,
        *,
        model: ReplacementModel | None = None,
        store: Store | None = None,
    ) -> None:
        super().__init__(shown)
        if node is not None:
            found = self.session.graph.annotations.node(node)
            if found.kind != "feature":
                raise ArgumentError("FeatureCard, node", expected="a feature", got=repr(found))
            self.set_trait("node", found.index)
        if model is not None or store is not None:
            self.session.use(model, store)
        self.session.answer("card", lambda message: (content(self.session, *message), []))
        self.session.answer("label", lambda message: (label(self.session, *message), []))


def content(session: Session, layer: int, feature: int) -> dict[str, Any]:
    """All that there is to know of a feature, as JSON; a part that is missing is None, and `missing` says why."""
    out: dict[str, Any] = {"label": None, "statistics": None, "examples": [], "histogram": None, "logits": None}
    missing = []
    if session.store is None:
        missing.append("Examples: there is no feature store; gemma_circuits.features.collect makes one.")
    else:
        try:
            out |= _from_store(session.store[layer, feature])
        except GemmaCircuitsError as error:
            missing.append(f"Examples: {error}")
    if session.model is None:
        missing.append("Logits: the model is not open; pass model= to the card.")
    else:
        effects = logit_effects(session.model, (layer, feature), TOKENS)
        out["logits"] = {
            name: [[effect.token, effect.value] for effect in getattr(effects, name)]
            for name in ("promoted", "suppressed", "excited_by")
        }
    source = neuronpedia_source(str(session.graph.metadata.get("transcoder", "")), layer)
    link = source and f"https://www.neuronpedia.org/{source[0]}/{source[1]}/{feature}"
    return {**out, "missing": missing, "link": link}


def label(session: Session, layer: int, feature: int, text: str) -> dict[str, Any]:
    """Call a feature `text` by hand: at all its places in the graph, and in the store if there is one."""
    annotations = session.graph.annotations
    nodes = session.graph.nodes.where(kind="feature", layer=layer, feature=feature)
    annotations.update(labels={**dict(annotations.notes.labels), **dict.fromkeys(nodes, text)})
    if session.store is not None:
        session.store.set_label(layer, feature, text, author=getpass.getuser(), source="hand")
        session.refresh_labels()
    return content(session, layer, feature)


def _from_store(feature: Feature) -> dict[str, Any]:
    found = feature.label
    return {
        "label": found and {name: getattr(found, name) for name in ("text", "author", "source", "score")},
        "statistics": {name: getattr(feature, name) for name in ("count", "frequency", "mean", "max")},
        "examples": [
            {"tokens": example.tokens, "activations": example.activations, "peak": example.peak}
            for example in feature.examples[:EXAMPLES]
        ],
        "histogram": {"edges": feature.histogram.edges, "counts": feature.histogram.counts},
        "tokens": [[token.token, token.count] for token in feature.top_tokens[:TOKENS]],
    }
