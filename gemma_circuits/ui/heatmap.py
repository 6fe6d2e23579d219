"""Tokens across, features down: what fires where, and what it does to the answer."""

from __future__ import annotations

from .widget import Widget


class TokenFeatureHeatmap(Widget):
    """Tokens across, features down: what fires where, and what it does to the answer."""

    bundle = "heatmap"
