"""What is tried by hand: changes to nodes of a graph, and what came of them, beside what the graph said."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import torch

from ..data import Graph, Node, Supernode
from ..data.errors import ArgumentError, GemmaCircuitsError
from ..features import active
from ..interventions import Ablate, Effect, Intervention, Patch, Set, Steer, generate, intervene, sweep
from ..interventions.faithfulness.paths import effects
from ..interventions.verbs import Mode
from ..models import ReplacementModel
from .drawn import moved

Kind: TypeAlias = Literal["ablate", "set", "steer", "patch"]
TOP = 6
"""Tokens that are listed before and after."""


@dataclass(frozen=True)
class Change:
    """One change to some nodes of a graph."""

    kind: Kind
    nodes: tuple[Node, ...]
    """Features or errors."""
    value: float = 0.0
    """Of "set" the activation, of "steer" the factor."""
    prompt: str = ""
    """Of "patch": all that fires at the nodes' places, here or there, gets the value that it has on this prompt."""
    name: str = ""
    """Of the supernode, if the nodes are one."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ArgumentError("change", expected=" or ".join(get_args(Kind)), got=repr(self.kind))
        if not self.nodes:
            raise ArgumentError("change", expected="at least one node", got="none", remedy="select some first")
        wrong = [node for node in self.nodes if node.kind not in ("feature", "error")]
        if wrong:
            raise ArgumentError("change", expected="features or errors", got=repr(wrong[0]))

    def intervention(self, model: ReplacementModel, graph: Graph) -> Intervention:
        """The value that `intervene` takes."""
        nodes = self._places(model, graph) if self.kind == "patch" else [place(node) for node in self.nodes]
        return self.of(Supernode(self.name, nodes) if self.name else nodes)

    def of(self, target: Any) -> Intervention:
        """The same change to something else."""
        match self.kind:
            case "ablate":
                return Ablate(target)
            case "set":
                return Set(target, self.value)
            case "steer":
                return Steer(target, self.value)
            case _:
                return Patch(target, self.prompt)

    def _places(self, model: ReplacementModel, graph: Graph) -> list[Any]:
        """What fires at the nodes' layers and positions, on either prompt."""
        where = {(node.layer, node.position) for node in self.nodes if node.kind == "feature"}
        layers = sorted({layer for layer, _ in where})
        there = active(model, self.prompt, layers=layers, progress=False).nodes
        both = (graph.nodes.where(kind="feature"), there)
        found = {(n.layer, n.position, n.feature) for nodes in both for n in nodes if (n.layer, n.position) in where}
        return [*sorted(found), *(place(node) for node in self.nodes if node.kind == "error")]

    def to_json(self) -> dict[str, Any]:
        """As JSON values, nodes by index; `read_change` reads them."""
        return {**vars(self), "nodes": [node.index for node in self.nodes]}


class NodeEffect(NamedTuple):
    """One node, changed alone: what the graph says of it, and what came."""

    node: int
    """Index in the graph."""
    old: float | None
    """Activation; None for an error."""
    new: float | None
    predicted: float | None
    """Change of the first target's raw logit minus the vocabulary's mean: over all paths of the graph, or in mode
    "direct" over the edge alone. None where the graph says nothing (an error's indirect effect)."""
    measured: float | None
    """The same, by a forward pass. None for a target that is not one token."""


@dataclass(frozen=True)
class Outcome:
    """What an experiment did."""

    before: tuple[tuple[str, float], ...]
    """Likeliest tokens and their probabilities, at the traced position."""
    after: tuple[tuple[str, float], ...]
    kl: float
    """Divergence of the next token's distribution after from that before, in nats."""
    targets: tuple[tuple[str, float, float], ...]
    """The graph's targets that are tokens: text, probability before and after."""
    nodes: tuple[NodeEffect, ...]
    texts: tuple[str, str] | None
    """What the model writes next, before and after."""
    changes: np.ndarray = field(compare=False)
    """(nodes,) float32: change of each feature's activation; zero for other nodes."""


@dataclass(frozen=True)
class Experiment:
    """Changes made together, how, and what came of them."""

    changes: tuple[Change, ...]
    mode: Mode = "frozen-attention"
    new_tokens: int = 0
    """Tokens to write with and without the changes; 0 for none."""
    outcome: Outcome | None = None

    @property
    def title(self) -> str:
        """In a few words."""
        words = {"ablate": "ablate {}", "set": "set {} to {:.3g}", "steer": "{} × {:.3g}", "patch": "patch {}"}
        return ", ".join(words[change.kind].format(_called(change), change.value) for change in self.changes)

    def to_json(self) -> dict[str, Any]:
        """As JSON values, nodes by index; `read_experiment` reads them."""
        outcome = self.outcome
        return {
            "title": self.title,
            "changes": [change.to_json() for change in self.changes],
            "mode": self.mode,
            "new_tokens": self.new_tokens,
            "outcome": outcome
            and {
                **vars(outcome),
                "nodes": [effect._asdict() for effect in outcome.nodes],
                "changes": base64.b64encode(outcome.changes.astype("<f4").tobytes()).decode("ascii"),
            },
        }


def place(node: Node) -> Any:
    """A node as interventions and Python code name it: `(layer, position, feature)`, or the error node itself."""
    return (node.layer, node.position, node.feature) if node.kind == "feature" else node


def conduct(
    model: ReplacementModel, graph: Graph, experiment: Experiment, report: Callable[[str, float], Any] = lambda *_: None
) -> Experiment:
    """The experiment with its outcome.

    Args:
        model: that the graph was traced on.
        graph: whose nodes are changed.
        experiment: what to do.
        report: called with the phase and the share of the whole that is done.

    Raises:
        As `intervene`.
    """
    prompt = graph.token_ids[: graph.n_positions]
    report("changing all", 0.0)
    made = [change.intervention(model, graph) for change in experiment.changes]
    effect = intervene(model, prompt, made, mode=experiment.mode)
    report("changing one by one", 0.3)
    nodes = _single(model, graph, experiment, effect)
    texts = None
    if experiment.new_tokens:
        total, written = 2 * experiment.new_tokens, 0

        def told(_: str) -> None:
            nonlocal written
            written += 1
            report("writing", 0.6 + 0.4 * written / total)

        plain = generate(model, prompt, max_new_tokens=experiment.new_tokens, on_token=told)
        texts = (plain.text, generate(model, prompt, made, max_new_tokens=experiment.new_tokens, on_token=told).text)
    return Experiment(experiment.changes, experiment.mode, experiment.new_tokens, _outcome(graph, effect, nodes, texts))


def _outcome(graph: Graph, effect: Effect, nodes: tuple[NodeEffect, ...], texts: tuple[str, str] | None) -> Outcome:
    top, (was, now) = effect.top(TOP), (effect.baseline_probabilities[-1], effect.probabilities[-1])
    tokens = [target for target in graph.targets if target.token_id < len(now)]
    return Outcome(
        before=tuple((token.token, token.probability) for token in top.baseline),
        after=tuple((token.token, token.probability) for token in top.changed),
        kl=effect.kl_divergence(),
        targets=tuple((t.token, was[t.token_id].item(), now[t.token_id].item()) for t in tokens),
        nodes=nodes,
        texts=texts,
        changes=moved(graph, effect),
    )


def _single(model: ReplacementModel, graph: Graph, experiment: Experiment, effect: Effect) -> tuple[NodeEffect, ...]:
    """Each node changed alone, against what the graph says."""
    pairs = [(node, change) for change in experiment.changes for node in change.nodes]
    prompt, target = graph.token_ids[: graph.n_positions], graph.targets[0].token_id
    new = {(done.layer, done.position, done.feature): done.new for done in effect.applied if done.kind == "feature"}

    found = sweep(model, prompt, lambda pair: pair[1].of(place(pair[0])), pairs, mode=experiment.mode, progress=False)
    measured: Sequence[float | None] = [None] * len(pairs)
    if target < found.raw_logits.shape[1]:
        was, now = (x[..., target] - x.mean(-1) for x in (found.baseline_raw_logits, found.raw_logits))
        measured = (now - was).tolist()
    out = []
    for (node, change), share, value in zip(pairs, _said(graph, [n for n, _ in pairs], experiment.mode), measured):
        old, now = (node.activation, new[tuple(place(node))]) if node.kind == "feature" else (None, None)
        by = (now - old) / old if old is not None and now is not None else -1.0 if change.kind == "ablate" else None
        predicted = None if share is None or by is None else share * by
        out.append(NodeEffect(node.index, old, now, predicted, value))
    return tuple(out)


def _said(graph: Graph, nodes: Sequence[Node], mode: Mode) -> list[float | None]:
    """What each node adds to the first target's logit: by its edge in mode "direct", else over all paths."""
    index = torch.tensor([node.index for node in nodes])
    first = graph.wiring.n_features
    direct = graph.edges[first, index].tolist()
    if mode == "direct":
        return direct
    features = [node.kind == "feature" for node in nodes]
    total = iter(effects(graph, index[torch.tensor(features)]).logits[0].tolist())
    return [next(total) if feature else None for feature in features]


def _called(change: Change) -> str:
    if change.name:
        return change.name
    first = change.nodes[0]
    spot = f"L{first.layer} #{first.feature}" if first.kind == "feature" else f"error L{first.layer}"
    return spot if len(change.nodes) == 1 else f"{len(change.nodes)} nodes"


def read_change(graph: Graph, value: Mapping[str, Any]) -> Change:
    """What `Change.to_json` made of a change to this graph.

    Raises:
        NodeError: a node of another graph.
        ArgumentError: something that is no change.
    """
    try:
        nodes = tuple(graph.annotations.node(node) for node in value["nodes"])
        return Change(
            value["kind"], nodes, float(value.get("value") or 0), value.get("prompt", ""), value.get("name", "")
        )
    except GemmaCircuitsError:
        raise
    except (LookupError, TypeError, ValueError) as error:
        raise ArgumentError("change", expected="kind, nodes, value, prompt and name", got=f"{error}") from error


def read_experiment(graph: Graph, value: Mapping[str, Any]) -> Experiment:
    """What `Experiment.to_json` made of an experiment on this graph.

    Raises:
        NodeError: a node of another graph.
        ArgumentError: something that is no experiment.
    """
    changes = tuple(read_change(graph, change) for change in value["changes"])
    try:
        out = value["outcome"]
        outcome = out and Outcome(
            before=_pairs(out["before"]),
            after=_pairs(out["after"]),
            kl=float(out["kl"]),
            targets=tuple((str(token), float(was), float(now)) for token, was, now in out["targets"]),
            nodes=tuple(NodeEffect(**effect) for effect in out["nodes"]),
            texts=tuple(out["texts"]) if out["texts"] else None,
            changes=np.frombuffer(base64.b64decode(out["changes"]), "<f4"),
        )
        return Experiment(changes, value["mode"], int(value["new_tokens"]), outcome)
    except (LookupError, TypeError, ValueError) as error:
        raise ArgumentError("experiment", expected="what to_json made", got=f"{error}") from error


def _pairs(value: Any) -> tuple[tuple[str, float], ...]:
    return tuple((str(token), float(probability)) for token, probability in value)
