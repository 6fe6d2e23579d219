"""From a list of interventions to numbers: what each feature, error and site is to hold."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

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
from .encoding import written_from
from .imposed import ZERO, Ablation, Change, Cut, Plan
from .places import Place, check_layer, expand, positions
from .values import Ablate, Add, Intervention, Patch, Set, Steer


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
    plan, cuts = Plan(), []
    for item in interventions:
        if isinstance(item, Add):
            _add(plan, baseline, item)
        elif isinstance(item.node, Circuit):
            if not isinstance(item, Ablate):
                raise InterventionError(
                    f"{type(item).__name__} of a Circuit", remedy="Ablate(circuit) keeps only the circuit"
                )
            cuts.append((item.node, item))
        else:
            for place, change in _changes(baseline, item):
                plan.put(place, change)
    for circuit, item in cuts:
        _keep_only(plan, baseline, circuit, item)
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
    ablation = _ablation(baseline, item) if isinstance(item, Ablate) else ZERO
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
            after = _ablated(baseline, ablation, place)
        yield place, Change(before, after)


def _ablation(baseline: Baseline, item: Ablate) -> Ablation:
    return Ablation(item.to, tuple(map(baseline.model.prompt, item.over)))


def _ablated(baseline: Baseline, ablation: Ablation, place: Place) -> Any:
    """What a feature or an error goes to."""
    is_error = place.feature < 0
    if ablation == ZERO:
        return 0 * baseline.error(*place[:2]) if is_error else 0.0
    mean = baseline.mean(place.layer, ablation.over, error=is_error)
    return mean if is_error else mean[place.feature].item()


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


def _keep_only(plan: Plan, baseline: Baseline, circuit: Circuit, item: Ablate) -> None:
    graph, prompt = circuit.graph, baseline.prompt
    _check_graph(baseline.model, graph)
    traced = graph.token_ids[: graph.n_positions]
    if prompt.token_ids[: len(traced)] != traced:
        raise MismatchError("circuit", expected="one of this prompt", got=f"one of {graph.prompt!r}")
    nodes = circuit.nodes.where(kind=("feature", "error"))
    kept = frozenset(map(Place, nodes.layer.tolist(), nodes.position.tolist(), nodes.feature.tolist()))
    cut, layers = frozenset(range(prompt.ignored, len(traced))), baseline.model.transcoder.layers
    ablation = _ablation(baseline, item)
    for place, change in plan.features.items():
        if place.position in cut and place not in kept and change.new != (to := _ablated(baseline, ablation, place)):
            got = f"{change.new:.6g}, and {to:.6g} by the circuit"
            raise ContradictionError(str(place), expected="one value", got=got)
    for layer in layers:
        for position in sorted(cut):
            if (place := Place(layer, position)) not in kept:
                plan.put(place, Change(baseline.error(layer, position), _ablated(baseline, ablation, place)))
    if plan.cut is not None:
        if plan.cut.ablation != ablation:
            raise ContradictionError("circuits", expected="all to zero, or to one mean", got="different ones")
        others = plan.cut
        kept = frozenset(
            place
            for place in kept | others.kept
            if (place in kept or place.position not in cut)
            and (place in others.kept or place.position not in others.positions)
        )
        cut |= others.positions
    means = None if ablation == ZERO else {layer: baseline.mean(layer, ablation.over) for layer in layers}
    plan.cut = Cut(cut, kept, means, ablation)


def check_landing(model: ReplacementModel, plan: Plan, landing: frozenset[int]) -> None:
    """Refuse a plan of which a part would be dropped whole; what a circuit leaves out may be.

    Raises:
        DroppedInterventionError: a feature that writes to none of these layers, an error or direction at another.
    """
    written = {place: [to for _, to in written_from(model.transcoder, place.layer)] for place in plan.features}
    errors = [place for place in plan.errors if plan.cut is None or place.position not in plan.cut.positions]
    written |= {place: (place.layer,) for place in (*errors, *(place for place, _ in plan.added))}
    for place, layers in written.items():
        if landing.isdisjoint(layers):
            raise DroppedInterventionError(
                str(place),
                expected=f"writes to layers {min(landing)} to {max(landing)}",
                got="none",
                remedy="widen `layers`",
            )
