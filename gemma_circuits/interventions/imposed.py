"""What an experiment imposes on one prompt: numbers for features, vectors for errors and sites."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..data.errors import ContradictionError
from ..models import Prompt
from .places import Place


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


class Ablation(NamedTuple):
    """What ablated features and errors go to."""

    to: str
    """As in `Ablate`."""
    over: tuple[Prompt, ...] = ()
    """With "mean": the reference prompts; none for the prompt itself."""


ZERO = Ablation("zero")


class Cut(NamedTuple):
    """Every feature at these positions that is not kept goes to zero, or to its mean."""

    positions: frozenset[int]
    kept: frozenset[Place]
    means: Mapping[int, Tensor] | None
    """By layer (features,); None for zero."""
    ablation: Ablation


@dataclass
class Plan:
    """What one list of interventions comes to on one prompt."""

    features: dict[Place, Change] = field(default_factory=dict)
    errors: dict[Place, Change] = field(default_factory=dict)
    added: list[tuple[Place, Tensor]] = field(default_factory=list)
    """Vectors (d,), scaled."""
    cut: Cut | None = None
    """With a circuit: what it leaves out."""

    @property
    def first(self) -> int:
        """The first layer that is changed."""
        if self.cut is not None:
            return 0
        return min((place.layer for place in (*self.features, *self.errors, *(p for p, _ in self.added))), default=0)

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
            None
            if self.cut is None or position not in self.cut.positions
            else self.cut._replace(positions=frozenset({0}), kept=frozenset(here(self.cut.kept).values())),
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
