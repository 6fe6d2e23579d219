"""What a faithfulness report is made of, and the published figures to set beside it."""

from __future__ import annotations

import math
from typing import NamedTuple

from .correlations import Interval

PAPER = 'Ameisen et al. 2025, "Circuit Tracing", transformer-circuits.pub, "Evaluating Mechanistic Faithfulness"'
PUBLISHED = {"spearman": 0.72, "cosine": 0.8, "error": 0.4, "top1": 0.5}
"""There, of an 18-layer model: Spearman's coefficient of influence on a feature with the relative change of that
feature, mean over 20 prompts; cosine and normalised squared error of perturbations one layer on; top-1 agreement of
the full replacement (of the largest CLT, on texts like those of pre-training)."""


class FeatureEffect(NamedTuple):
    """One feature: what the graph says, and what ablating it did. Positive: the targets lose by its ablation."""

    layer: int
    position: int
    token: str
    feature: int
    activation: float
    influence: float
    """`graph.influence`."""
    direct: float
    """Its edges to the targets, as a mean weighted by their probabilities; in logits."""
    total: float
    """Likewise its effect over all paths."""
    measured: float
    """By how much that mean fell when the feature was ablated."""
    kl: float
    """Nats: divergence of the next token's distribution after the ablation from that before."""
    null_feature: int
    """The random feature, silent there, that took its place at equal length; -1 for none."""
    null_measured: float
    """`measured`, of the random one."""
    null_kl: float
    """`kl`, of the random one."""


class Pair(NamedTuple):
    """An ablated feature and a later one, by their index in the graph."""

    source: int
    target: int
    influence: float
    """Of the source on the target, summed over all paths."""
    predicted: float
    """Effect over all paths, as a share of the target's activation."""
    measured: float
    """By how much the target's pre-activation fell when the source was ablated, as a share of its activation."""
    null: float
    """Likewise with a random feature in place of the source."""


class Distance(NamedTuple):
    """Predicted against measured changes of all features so many layers above the ablated one."""

    layers: int
    sources: int
    """Ablated features with predicted and measured changes there."""
    cosine: Interval
    """Mean over the ablated features."""
    error: float
    """Sum of squared differences over the sum of squared measured changes."""
    null_cosine: Interval
    """`cosine`, measured with random features in place of the ablated ones."""


class CircuitAlone(NamedTuple):
    """The circuit on its own: every other feature and error ablated."""

    fill: str
    """To what: "zero" or "mean"."""
    features: int
    """Kept."""
    errors: int
    """Kept."""
    target: float
    """Mean of the targets' logits, weighted by probability, each less the vocabulary's mean."""
    whole: float
    """Likewise of the whole model."""
    nothing: float
    """Likewise with all features and errors ablated."""
    kl: float
    """Nats: divergence of the next token's distribution from the whole model's."""
    nothing_kl: float
    """Likewise with all features and errors ablated."""
    same_token: bool
    """The likeliest token is the whole model's."""

    @property
    def share(self) -> float:
        """Share of the behaviour: `(target - nothing) / (whole - nothing)`; may leave 0 to 1."""
        return _share(self.target - self.nothing, self.whole - self.nothing)

    @property
    def kl_share(self) -> float:
        """Share of the divergence of `nothing` that the circuit takes away: `1 - kl / nothing_kl`."""
        return _share(self.nothing_kl - self.kl, self.nothing_kl)


def number(value: float) -> str:
    """Two digits, or a dash where there is none."""
    return "–" if math.isnan(value) else f"{value:.2f}"


def spread(interval: Interval) -> str:
    """An estimate with its interval."""
    value, low, high = map(number, interval)
    return value if math.isnan(interval.low) else f"{value} [{low}, {high}]"


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
