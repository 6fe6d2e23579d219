"""From a list of interventions to numbers: what each feature, error and site is to hold."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..data import Circuit, Graph
from ..data.errors import (
    ContradictionError,
    DroppedInterventionError,
    InterventionError,
    InterventionValueError,
    MismatchError,
    NoInterventionError,
    PositionError,
)
from ..models import ReplacementModel
from .baseline import Baseline
from .places import Place, check_layer, expand, positions
from .values import Ablate, Add, Intervention, Patch, Set, Steer


class Change(NamedTuple):
    """Activations of a feature, or error vectors (d,)."""

    old: Any
    """On the prompt, before anything is changed."""
    new: Any


class Applied(NamedTuple):
    """One thing that was imposed."""

    kind: str
    """ "feature", "error" or "direction"."""
    layer: int
    position: int
    feature: int
    """-1 for all but features."""
    old: float
    """Activation before; length of an error vector; 0 for a direction."""
    new: float
    """Activation imposed; length of what the error became; length of what was added."""


@dataclass
class Plan:
    """What one list of interventions comes to on one prompt."""

    features: dict[Place, Change] = field(default_factory=dict)
    errors: dict[Place, Change] = field(default_factory=dict)
    added: list[tuple[Place, Tensor]] = field(default_factory=list)
    """Vectors (d,), scaled."""
    kept: set[Place] | None = None
    """With a circuit: its features; every other feature at `cut` positions is ablated."""
    cut: frozenset[int] = frozenset()

    @property
    def applied(self) -> tuple[Applied, ...]:
        """What is imposed, one line each; features that a circuit leaves out have none."""
        lines = [Applied("feature", *place, change.old, change.new) for place, change in self.features.items()]
        for place, change in self.errors.items():
            lines.append(Applied("error", *place, change.old.norm().item(), change.new.norm().item()))
        for place, vector in self.added:
            lines.append(Applied("direction", *place, 0.0, vector.norm().item()))
        return tuple(lines)

    def at(self, position: int) -> Plan:
        """What it comes to at one position, moved to position 0: of a pass over one token."""

        def here(places: Iterable[Place]) -> dict[Place, Place]:
            return {place: place._replace(position=0) for place in places if place.position == position}

        return Plan(
            {moved: self.features[place] for place, moved in here(self.features).items()},
            {moved: self.errors[place] for place, moved in here(self.errors).items()},
            [(place._replace(position=0), vector) for place, vector in self.added if place.position == position],
            None if self.kept is None else set(here(self.kept).values()),
            frozenset({0} & {at - position for at in self.cut}),
        )

    def put(self, place: Place, change: Change) -> None:
        """Set a feature or an error.

        Raises:
            ContradictionError: it is set to something else already.
        """
        known = self.errors if place.feature < 0 else self.features
        earlier = known.setdefault(place, change)
        if not bool(torch.as_tensor(earlier.new == change.new).all()):
            is_error = place.feature < 0
            raise ContradictionError(
                str(place),
                expected="one value",
                got="two different ones" if is_error else f"{earlier.new:.6g} and {change.new:.6g}",
                remedy="make two experiments of it",
            )


def as_list(interventions: Intervention | Sequence[Intervention]) -> tuple[Intervention, ...]:
    """Interventions, of one or several.

    Raises:
        NoInterventionError: none.
        InterventionError: something else among them.
    """
    if isinstance(interventions, Intervention):
        return (interventions,)
    items = tuple(interventions) if isinstance(interventions, Iterable) else (interventions,)
    if not items:
        raise NoInterventionError("interventions", expected="at least one", got="none")
    for item in items:
        if not isinstance(item, Intervention):
            raise InterventionError("interventions", expected="Ablate, Steer, Set, Patch or Add", got=repr(item))
    return items


def resolve(baseline: Baseline, interventions: Sequence[Intervention]) -> Plan:
    """Work out what a list of interventions comes to.

    Args:
        baseline: the prompt, before anything is changed.
        interventions: applied together; one feature may be named twice only with the same value.

    Raises:
        NodeError, PositionError, IgnoredPositionError: a node that is not there.
        ContradictionError: one feature or error with two values.
        InterventionError: a value for an error, or a circuit where it has no meaning.
        MismatchError: a circuit or graph of another prompt or model.
    """
    plan, circuits = Plan(), []
    for item in interventions:
        if isinstance(item, Add):
            _add(plan, baseline, item)
        elif isinstance(item.node, Circuit):
            if not isinstance(item, Ablate):
                raise InterventionError(
                    f"{type(item).__name__} of a Circuit", remedy="Ablate(circuit) keeps only the circuit"
                )
            circuits.append(item.node)
        else:
            for place, change in _changes(baseline, item):
                plan.put(place, change)
    for circuit in circuits:
        _keep_only(plan, baseline, circuit)
    return plan


def resolve_all(baseline: Baseline, lists: Sequence[Sequence[Intervention]]) -> list[Plan]:
    """`resolve` each of many lists, their activations computed together."""
    items = [item for items in lists for item in items if not isinstance(item, Add)]
    nodes = [item.node for item in items if not isinstance(item.node, Circuit)]
    baseline.activations(place for node in nodes for place in expand(baseline.model, baseline.prompt, node))
    return [resolve(baseline, items) for items in lists]


def _changes(baseline: Baseline, item: Ablate | Steer | Set | Patch) -> Iterable[tuple[Place, Change]]:
    places = expand(baseline.model, baseline.prompt, item.node)
    elsewhere, source = places, baseline
    if isinstance(item, Patch):
        elsewhere, source = _elsewhere(baseline, item, places)
    old, there = baseline.activations(places), source.activations(elsewhere)
    for place, other, before, after in zip(places, elsewhere, old, there):
        if place.feature < 0:
            if isinstance(item, Set):
                raise InterventionError("Set", expected="features", got=f"the {place}", remedy="Ablate it or Steer it")
            before, after = baseline.error(*place[:2]), source.error(*other[:2])
        if isinstance(item, Set):
            after = item.value
        elif isinstance(item, Steer):
            after = item.factor * before
        elif isinstance(item, Ablate):
            after = 0 * before
        yield place, Change(before, after)


def _elsewhere(baseline: Baseline, item: Patch, places: list[Place]) -> tuple[list[Place], Baseline]:
    """The places that a patch reads, one for each that it sets, and where."""
    model, source, position, there = baseline.model, item.source, item.position, baseline
    if isinstance(source, int):
        if position is not None:
            raise InterventionError("Patch", expected="one position of this prompt", got=f"{source} and {position}")
        position = source
    else:
        if isinstance(source, Circuit):
            source = source.graph
        if isinstance(source, Graph):
            _check_graph(model, source)
            source = source.token_ids[: source.n_positions]
        there = baseline.of(model.prompt(source))
    if position is not None:
        (at,) = positions(there.prompt, operator.index(position))
        return [place._replace(position=at) for place in places], there
    found = expand(model, there.prompt, item.node)
    if len(found) != len(places):
        raise PositionError(
            "Patch",
            expected=f"{len(places)} places in the source",
            got=str(len(found)),
            remedy="a slice takes other positions in a prompt of another length: name them one by one",
        )
    return found, there


def _check_graph(model: ReplacementModel, graph: Graph) -> None:
    recorded = graph.metadata.get("transcoder_hash")
    if graph.n_layers != model.n_layers or (recorded and recorded != model.transcoder.fingerprint()):
        raise MismatchError(
            "graph",
            expected=f"one of {model.name} with {model.transcoder.source}",
            got=f"one of {graph.metadata.get('model', 'another model')} with {graph.metadata.get('transcoder', '?')}",
        )


def _add(plan: Plan, baseline: Baseline, item: Add) -> None:
    check_layer(baseline.model, item.layer)
    width = baseline.model.transcoder.d_out
    if item.direction.shape != (width,):
        raise InterventionValueError("Add, direction", expected=f"a vector of {width}", got=str(len(item.direction)))
    for position in positions(baseline.prompt, item.position):
        plan.added.append((Place(item.layer, position), item.scale * item.direction))


def _keep_only(plan: Plan, baseline: Baseline, circuit: Circuit) -> None:
    graph, prompt = circuit.graph, baseline.prompt
    _check_graph(baseline.model, graph)
    traced = graph.token_ids[: graph.n_positions]
    if prompt.token_ids[: len(traced)] != traced:
        raise MismatchError("circuit", expected="one of this prompt", got=f"one of {graph.prompt!r}")
    nodes = circuit.nodes.where(kind=("feature", "error"))
    kept = set(map(Place, nodes.layer.tolist(), nodes.position.tolist(), nodes.feature.tolist()))
    plan.kept = kept if plan.kept is None else plan.kept & kept
    plan.cut |= frozenset(range(prompt.ignored, len(traced)))
    for place, change in plan.features.items():
        if place.position in plan.cut and place not in kept and change.new:
            raise ContradictionError(str(place), expected="one value", got=f"{change.new:.6g}, and 0 by the circuit")
    for layer in baseline.model.transcoder.layers:
        for position in sorted(plan.cut):
            if (place := Place(layer, position)) not in kept:
                old = baseline.error(layer, position)
                plan.put(place, Change(old, 0 * old))


def check_landing(model: ReplacementModel, plan: Plan, landing: frozenset[int]) -> None:
    """Refuse a plan of which a part would be dropped whole; what a circuit leaves out may be.

    Raises:
        DroppedInterventionError: a feature that writes to none of these layers, an error or direction at another.
    """
    written = {place: model.transcoder.written(place.layer) for place in plan.features}
    errors = [place for place in plan.errors if place.position not in plan.cut]
    written |= {place: (place.layer,) for place in (*errors, *(place for place, _ in plan.added))}
    for place, layers in written.items():
        if landing.isdisjoint(layers):
            raise DroppedInterventionError(
                str(place),
                expected=f"writes to layers {min(landing)} to {max(landing)}",
                got="none",
                remedy="widen `layers`",
            )
