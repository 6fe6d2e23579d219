"""Change nodes by hand, see what the model does, and keep a history of what was tried."""

from __future__ import annotations

from typing import Any

import traitlets

from ..data import Circuit, Graph
from ..models import ReplacementModel
from .laboratory import Laboratory
from .widget import Widget


class Interventions(Widget):
    """Ablate, set, steer or patch the selected nodes; every experiment is kept, and can be had as Python code.

    Experiments run beside the kernel's own thread, one at a time, and can be cancelled; `laboratory` makes them.

    Args:
        shown: graph or circuit whose session it follows.
        model: that the graph was traced on; None for the one that is open.

    Example:
        >>> panel = Interventions(graph)  # doctest: +SKIP
        >>> panel.history[-1].outcome.after[0]  # doctest: +SKIP
        (' Sacramento', 0.98)
    """

    bundle = "interventions"
    history = traitlets.Tuple()
    """What was tried, oldest first: `Experiment`s."""
    experiments = traitlets.List(read_only=True).tag(sync=True)
    """The history as JSON."""
    current = traitlets.Int(-1).tag(sync=True)
    running = traitlets.Dict().tag(sync=True)
    failure = traitlets.Unicode().tag(sync=True)
    """See `Laboratory`."""

    def __init__(self, shown: Graph | Circuit, *, model: ReplacementModel | None = None) -> None:
        super().__init__(shown)
        if model is not None:
            self.session.use(model)
        for name in ("current", "running", "failure"):
            traitlets.dlink((self.laboratory, name), (self, name))
        traitlets.link((self.laboratory, "history"), (self, "history"))

    @property
    def laboratory(self) -> Laboratory:
        """Where experiments on this graph are made; all its views share it."""
        return self.session.laboratory

    @traitlets.observe("history")
    def _tell(self, _: Any) -> None:
        self.set_trait("experiments", [experiment.to_json() for experiment in self.history])
