"""Tokens across, features down: what fires where, and what it does to the answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets

from ..data import Circuit, Graph
from ..data.errors import ArgumentError
from ..interventions import Effect
from .drawn import packed
from .session import Session
from .similarity import similar_order
from .widget import Widget


class TokenFeatureHeatmap(Widget):
    """Tokens across, features down: what fires where, and what it does to the answer.

    A row is a feature over all tokens, or the error nodes of a layer. Press `?` in it for its keys; rows are filtered
    by `session.filter`, such as `layer>=3 & token~"Texas" & influence>0.01`.

    Args:
        shown: graph or circuit.
        sort: order of the rows: "influence" (sum over the row, largest first), "first_token" (where the feature fires
            first), "layer" (layer and index) or "similarity" (clustered by activation over the tokens).
        colour: "activation", "influence" or "effect" (see `effect`).
        show: features "influence" (those with any), "circuit" (those left by pruning) or "all"; None for the circuit's
            if it is given one, else those with influence.
        errors: whether error nodes have rows.
        grouped: whether rows stand under headings by layer.
        height: of the rows with their header, in pixels, at most.

    Raises:
        traitlets.TraitError: a setting that there is not.

    Example:
        >>> heatmap = TokenFeatureHeatmap(graph, colour="activation")  # doctest: +SKIP
        >>> heatmap.effect = gmc.intervene(model, graph.prompt, [gmc.Ablate(node)])  # doctest: +SKIP
    """

    bundle = "heatmap"
    sort = traitlets.Enum(("influence", "first_token", "layer", "similarity"), "influence").tag(sync=True)
    colour = traitlets.Enum(("activation", "influence", "effect"), "influence").tag(sync=True)
    show = traitlets.Enum(("influence", "circuit", "all"), "influence").tag(sync=True)
    errors = traitlets.Bool(True).tag(sync=True)
    grouped = traitlets.Bool(True).tag(sync=True)
    height = traitlets.Int(460, min=120).tag(sync=True)

    def __init__(
        self,
        shown: Graph | Circuit,
        *,
        sort: str = "influence",
        colour: str = "influence",
        show: str | None = None,
        errors: bool = True,
        grouped: bool = True,
        height: int = 460,
    ) -> None:
        show = show or ("circuit" if isinstance(shown, Circuit) else "influence")
        super().__init__(shown, sort=sort, colour=colour, show=show, errors=errors, grouped=grouped, height=height)
        self._effect: Effect | None = None
        graph = self.session.graph
        self.session.answer("similarity", lambda _: (None, [packed(similar_order(graph), np.int32)]))

    @property
    def effect(self) -> Effect | None:
        """What an intervention did, which nodes are then coloured by: each feature's activation minus that before.

        Of a feature that was set by hand it is what was imposed that counts. Features that fire only after the
        intervention are not in the graph; `Effect.changes` lists them. None takes it away.

        Raises:
            ArgumentError: not an effect on the graph's prompt.
            NodeError: an effect on another model or dictionary.
        """
        return self._effect

    @effect.setter
    def effect(self, effect: Effect | None) -> None:
        overlay = {} if effect is None else _overlay(self.session, effect)
        self._effect = effect
        with self.hold_sync():
            self.session.overlay = overlay
            if overlay:
                self.colour = "effect"
            elif self.colour == "effect":
                self.colour = "influence"


def _overlay(session: Session, effect: Effect) -> dict[str, Any]:
    """The effect as a value for each node, NaN where it has none: logits, tokens and errors."""
    graph = session.graph
    read = graph.token_ids[: graph.n_positions]
    if not isinstance(effect, Effect) or effect.prompt.token_ids[: len(read)] != read:
        got = repr(effect.prompt.text) if isinstance(effect, Effect) else type(effect).__name__
        raise ArgumentError("effect", expected=f"an Effect on {graph.prompt!r}", got=got)
    features = graph.nodes.where(kind="feature")
    imposed = {(at.layer, at.position, at.feature): at.new for at in effect.applied if at.kind == "feature"}
    values = np.full(len(graph.nodes), np.nan, np.float32)
    for node, change in zip(features.index, effect.activation(features) if len(features) else ()):
        place = (change.layer, change.position, change.feature)
        values[node] = imposed.get(place, change.changed) - change.baseline
    return {"name": "change of activation", "values": packed(values, np.float32)}
