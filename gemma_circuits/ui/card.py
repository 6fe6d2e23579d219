"""What a feature is: its label, examples, logits and where it fires on this prompt."""

from __future__ import annotations

from .widget import Widget


class FeatureCard(Widget):
    """What a feature is: its label, examples, logits and where it fires on this prompt."""

    bundle = "card"
