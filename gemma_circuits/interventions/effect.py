"""What an intervention did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from ..attribution.targets import find_token
from ..data import display
from ..data.errors import ArgumentError, PositionError
from ..models import Prompt, ReplacementModel
from ..models.prompt import token_text
from .encoding import activations_at, dense
from .imposed import Applied
from .places import Place, expand
from .values import Intervention, NodeLike

Measure: TypeAlias = "Literal['all'] | NodeLike | None"
SHOWN = 10
"""Rows of the tables that an effect shows."""


class TokenProbability(NamedTuple):
    """A token and its share of the softmax."""

    token: str
    token_id: int
    probability: float


class Top(NamedTuple):
    """The likeliest tokens, largest first."""

    baseline: tuple[TokenProbability, ...]
    changed: tuple[TokenProbability, ...]


class Moved(NamedTuple):
    """A number before and after."""

    baseline: float
    changed: float


class FeatureChange(NamedTuple):
    """What the encoder computes for a feature, before and after."""

    layer: int
    position: int
    feature: int
    baseline: float
    changed: float


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Effect:
    """What an intervention did to logits and activations on one prompt.

    Activations are computed when they are asked for, from what the dictionary reads in both passes.

    Example:
        >>> effect.top(3).changed[0].token  # doctest: +SKIP
        ' Sacramento'
    """

    model: ReplacementModel
    prompt: Prompt
    interventions: tuple[Intervention, ...]
    """As given."""
    mode: str
    applied: tuple[Applied, ...]
    """What was imposed on each feature, error and site; features that a circuit leaves out have no line."""
    logits: Tensor
    """(positions, vocabulary) float32: the model's own, after a softcap."""
    baseline_logits: Tensor
    """Likewise before the intervention."""
    raw_logits: Tensor
    """(positions, vocabulary) float32: before a softcap."""
    baseline_raw_logits: Tensor
    """Likewise before the intervention."""
    reads: Mapping[int, Tensor]
    """By layer (positions, d_in) float32: what the dictionary reads."""
    baseline_reads: Mapping[int, Tensor]
    """Likewise before the intervention."""
    measured: tuple[Place, ...] | None
    """Features that are listed; None for all."""

    @cached_property
    def activations(self) -> Tensor:
        """(layers, positions, features) float32: what the encoder computes, not what was imposed (see `applied`).

        Zero at ignored positions; layers are those of the dictionary. Large dictionaries take much memory here:
        `activation` measures single features.
        """
        return dense(self.model.transcoder, self.reads, self.prompt.ignored)

    @cached_property
    def baseline_activations(self) -> Tensor:
        """(layers, positions, features) float32: likewise before the intervention."""
        return dense(self.model.transcoder, self.baseline_reads, self.prompt.ignored)

    def activation(self, node: NodeLike) -> tuple[FeatureChange, ...]:
        """What the encoder computes for features, before and after.

        Raises:
            NodeError, PositionError, IgnoredPositionError: a feature that is not there.
        """
        return self._of(tuple(p for p in expand(self.model, self.prompt, node) if p.feature >= 0))

    def changes(self, k: int | None = SHOWN) -> tuple[FeatureChange, ...]:
        """The `k` measured features that changed most, largest first; None for all that changed."""
        if self.measured is not None:
            found = self._of(self.measured)
        else:
            places = (self.activations != self.baseline_activations).nonzero()
            values = zip(*(x[tuple(places.T)].tolist() for x in (self.baseline_activations, self.activations)))
            layers = self.model.transcoder.layers
            found = [FeatureChange(layers[i], p, f, *both) for (i, p, f), both in zip(places.tolist(), values)]
        return tuple(sorted(found, key=lambda row: -abs(row.changed - row.baseline))[:k])

    def _of(self, places: tuple[Place, ...]) -> tuple[FeatureChange, ...]:
        both = []
        for reads in (self.baseline_reads, self.reads):
            found = {}
            for layer in dict.fromkeys(place.layer for place in places):
                mine = [place for place in places if place.layer == layer]
                index = torch.tensor(mine, dtype=torch.int64)
                values = activations_at(self.model.transcoder, layer, reads[layer], index[:, 1], index[:, 2])
                found |= dict(zip(mine, values.tolist()))
            both.append(found)
        return tuple(FeatureChange(*place, both[0][place], both[1][place]) for place in places)

    @cached_property
    def probabilities(self) -> Tensor:
        """(positions, vocabulary) float32."""
        return self.logits.softmax(-1)

    @cached_property
    def baseline_probabilities(self) -> Tensor:
        """(positions, vocabulary) float32: before the intervention."""
        return self.baseline_logits.softmax(-1)

    def top(self, k: int = 5, position: int = -1) -> Top:
        """The `k` likeliest next tokens at a position, before and after.

        Raises:
            ArgumentError: `k` below 1.
            PositionError: a position outside the prompt.
        """
        if k < 1:
            raise ArgumentError("k", expected="1 or more", got=str(k))
        at = self._position(position)

        def likeliest(probabilities: Tensor) -> tuple[TokenProbability, ...]:
            found = probabilities[at].topk(min(k, probabilities.shape[-1]))
            return tuple(
                TokenProbability(token_text(self.model.tokenizer, token_id), token_id, probability)
                for token_id, probability in zip(found.indices.tolist(), found.values.tolist())
            )

        return Top(likeliest(self.baseline_probabilities), likeliest(self.probabilities))

    def kl_divergence(self, position: int = -1) -> float:
        """KL divergence, in nats, of the next token's distribution after from that before.

        Raises:
            PositionError: a position outside the prompt.
        """
        at = self._position(position)
        before, after = (x[at].double().log_softmax(-1) for x in (self.baseline_logits, self.logits))
        return max(0.0, (before.exp() * (before - after)).sum().item())

    def logit_difference(self, a: str | int, b: str | int, position: int = -1) -> Moved:
        """Logit of token `a` minus that of `b` (after a softcap), before and after.

        Args:
            a: a token as text (" Austin", not "Austin") or id.
            b: likewise.
            position: where to read, from 0, negative ones from the end.

        Raises:
            TargetError: not one token, or an id outside the vocabulary.
            PositionError: a position outside the prompt.
        """
        at = self._position(position)
        first, second = find_token(self.model, a), find_token(self.model, b)
        return Moved(*((x[at, first] - x[at, second]).item() for x in (self.baseline_logits, self.logits)))

    def to_pandas(self, what: Literal["tokens", "features"] = "tokens", position: int = -1) -> Any:
        """A pandas DataFrame: of all tokens at a position, or of the measured features that changed.

        Raises:
            ArgumentError: another table.
        """
        import pandas

        if what == "features":
            return pandas.DataFrame(self.changes(None), columns=list(FeatureChange._fields))
        if what != "tokens":
            raise ArgumentError("what", expected="'tokens' or 'features'", got=repr(what))
        at = self._position(position)
        ids = range(self.logits.shape[1])
        return pandas.DataFrame(
            {
                "token": [token_text(self.model.tokenizer, token_id) for token_id in ids],
                "baseline_logit": self.baseline_logits[at].tolist(),
                "logit": self.logits[at].tolist(),
                "baseline_probability": self.baseline_probabilities[at].tolist(),
                "probability": self.probabilities[at].tolist(),
            },
            index=ids,
        )

    def figure(self, **options: Any) -> Any:
        """A Plotly figure of tokens and features, before and after; options as of `figures.effect.effect_figure`."""
        return display.draw(self, **options)

    def _position(self, position: int) -> int:
        count = len(self.prompt)
        if not -count <= position < count:
            raise PositionError("position", expected=f"{-count} to {count - 1}", got=str(position))
        return position

    def __repr__(self) -> str:
        tables = "\n\n".join(f"{title}\n{display.text_table(*table)}" for title, table in self._tables().items())
        return f"{self._title()}\n{display.shorten(self.prompt.text)}\n{self._imposed()}\n\n{tables}"

    def _repr_html_(self) -> str:
        tables = {title: display.html_table(*table) for title, table in self._tables().items()}
        return display.page(f"{self._title()}: {self._imposed()}", self.prompt.text, tables)

    def _imposed(self) -> str:
        """The interventions, as many as a line holds."""
        line = ", ".join(map(repr, self.interventions))
        return line if len(line) <= 100 else line[:99] + "…"

    def _title(self) -> str:
        count = len(self.interventions)
        return f"Effect of {count} intervention{'s' * (count != 1)} ({self.mode}), KL {self.kl_divergence():.3g}"

    def _tables(self) -> dict[str, tuple[list[str], Sequence[list[str] | None]]]:
        """Header and rows as text, by title."""
        top = [
            [repr(old.token), f"{old.probability:.3f}", repr(new.token), f"{new.probability:.3f}"]
            for old, new in zip(*self.top())
        ]
        imposed = [
            [row.kind, str(row.layer), str(row.position), _index(row.feature), f"{row.old:.3g}", f"{row.new:.3g}"]
            for row in self.applied[:SHOWN]
        ]
        moved = [
            [str(row.layer), str(row.position), str(row.feature), f"{row.baseline:.3g}", f"{row.changed:.3g}"]
            for row in self.changes()
        ]
        more = [None] * (len(self.applied) > SHOWN)
        return {
            "next token": (["before", "p", "after", "p"], top),
            "imposed": (["kind", "layer", "position", "feature", "before", "imposed"], [*imposed, *more]),
            "activations": (["layer", "position", "feature", "before", "after"], moved),
        }


def _index(feature: int) -> str:
    return "" if feature < 0 else str(feature)
