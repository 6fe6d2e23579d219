"""The verb `intervene`: change features on a prompt and see what the model does."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

from ..data.errors import ArgumentError
from ..models import PromptLike, ReplacementModel
from .baseline import Baseline
from .effect import Effect, Measure
from .imposed import Plan
from .places import Place, expand
from .plan import as_list, check_landing, resolve
from .splice import spliced
from .values import Intervention

Mode = Literal["direct", "frozen-attention", "open"]
SMALL = 2**22
"""Activations that are all measured by default."""


def intervene(
    model: ReplacementModel,
    prompt: PromptLike,
    interventions: Intervention | Sequence[Intervention],
    *,
    mode: Mode = "frozen-attention",
    layers: range | None = None,
    measure: Measure = None,
) -> Effect:
    """Change features, errors or directions on a prompt, in one forward pass.

    The change is spliced in as `(new - old) * W_dec` on the layers that a feature writes; what the dictionary does
    not explain stays. Method: Ameisen et al. 2025, "Circuit Tracing", transformer-circuits.pub, section "Validating
    the Replacement Model"; the numbers are those of circuit-tracer's `feature_intervention`.

    Args:
        model: from `load`.
        prompt: as for `attribute`.
        interventions: `Ablate`, `Steer`, `Set`, `Patch`, `Add`; applied together.
        mode: "direct" freezes attention patterns, norm denominators and MLP outputs (but for an affine skip, which
            follows its input): what an edge of the graph says. "frozen-attention" freezes attention patterns, and
            "open" nothing: features downstream follow, and `old` is the activation after what came before.
        layers: of a CLT. MLP outputs of these layers are frozen as in "direct", `old` is the activation on the prompt,
            writes to other layers are dropped: a feature held at a value is not counted twice.
        measure: what to list: "all" features, or some nodes. None for all where they are few, else those touched.

    Raises:
        NoInterventionError: an empty list.
        NodeError, PositionError, IgnoredPositionError: a node that is not there.
        ContradictionError: one feature or error with two values.
        InterventionValueError: NaN, infinity, or a direction of another width.
        DroppedInterventionError: `layers` leave nothing of an intervention.
        InterventionError: an intervention that has no meaning.
        MismatchError: a circuit or graph of another prompt or model.
        ArgumentError: a mode or layers that there are not.
        PromptError: a prompt that cannot be run.
        NotFiniteError: what was imposed overflows.

    Example:
        >>> effect = intervene(load(), graph.prompt, Ablate(graph.node(3, 6, 120)))  # doctest: +SKIP
        >>> effect.logit_difference(" Austin", " Sacramento")  # doctest: +SKIP
    """
    items = as_list(interventions)
    landing = check_mode(model, mode, layers)
    tokenized = model.prompt(prompt)
    listed = expand(model, tokenized, measure) if measure is not None and not _is_all(measure) else None
    baseline = Baseline(model, tokenized, record=mode != "open")
    plan = resolve(baseline, items)
    if landing is not None:
        check_landing(model, plan, landing)
    changed, reads = spliced(baseline, [plan], mode, landing)
    return Effect(
        model=model,
        prompt=tokenized,
        interventions=items,
        mode=mode,
        applied=plan.applied,
        logits=changed.logits[0].cpu(),
        baseline_logits=baseline.run.logits[0].cpu(),
        raw_logits=changed.raw_logits[0].cpu(),
        baseline_raw_logits=baseline.run.raw_logits[0].cpu(),
        reads={layer: x[0] for layer, x in reads.items()},
        baseline_reads=baseline.reads,
        measured=_measured(model, len(tokenized), measure, listed, plan),
    )


def check_mode(model: ReplacementModel, mode: Any, layers: Iterable[int] | None) -> frozenset[int] | None:
    """The layers asked for.

    Raises:
        ArgumentError: a mode or layers that there are not.
    """
    if mode not in get_args(Mode):
        raise ArgumentError("mode", expected=" or ".join(map(repr, get_args(Mode))), got=repr(mode))
    if layers is None:
        return None
    try:
        found = frozenset(operator.index(layer) for layer in layers)
    except TypeError:
        found = frozenset()
    if not found or not found <= set(range(model.n_layers)):
        raise ArgumentError("layers", expected=f"a range within 0 to {model.n_layers - 1}", got=repr(layers))
    return found


def _is_all(measure: Any) -> bool:
    if isinstance(measure, str) and measure != "all":
        raise ArgumentError("measure", expected="'all', nodes, or None", got=repr(measure))
    return isinstance(measure, str)


def _measured(
    model: ReplacementModel, n_positions: int, measure: Any, listed: list[Place] | None, plan: Plan
) -> tuple[Place, ...] | None:
    """Features to list, None for all."""
    if listed is not None:
        return tuple(dict.fromkeys(place for place in listed if place.feature >= 0))
    size = len(model.transcoder.layers) * n_positions * model.transcoder.n_features
    return None if measure is not None or size <= SMALL else tuple(plan.features)
