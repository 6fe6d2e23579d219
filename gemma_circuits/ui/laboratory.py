"""Where experiments are made: one at a time, beside the kernel's own thread, all of them remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from ..data.errors import ArgumentError
from ..interventions.verbs import Mode
from ..models import ReplacementModel
from ..models.stopping import Stopped
from .code import as_code
from .drawn import packed
from .experiments import Change, Experiment, conduct, read_change
from .runner import Runner

if TYPE_CHECKING:
    from .session import Session


class Laboratory(traitlets.HasTraits):
    """The experiments on one graph; all views of it share them.

    Example:
        >>> view.laboratory.attempt([Change("ablate", view.selected)])  # doctest: +SKIP
        >>> view.laboratory.wait(), view.history[-1].outcome.after[0]  # doctest: +SKIP
        (True, (' Sacramento', 0.98))
    """

    history = traitlets.Tuple()
    """What was tried, oldest first: `Experiment`s."""
    current = traitlets.Int(-1, read_only=True)
    """Which experiment is laid over the graph; -1 for none."""
    running = traitlets.Dict(read_only=True)
    """`title`, `phase` and `share` done of what is under way; empty if nothing is."""
    failure = traitlets.Unicode(read_only=True)
    """Why the last experiment came to nothing; empty if it did not."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._runner = Runner()
        for name, answer in (
            ("try", lambda message: self.attempt(*self._read(message))),
            ("cancel", lambda _: self.cancel()),
            ("restore", self.restore),
            ("code", self.code),
        ):
            session.answer(name, lambda message, answer=answer: (answer(message), []))

    @property
    def model(self) -> ReplacementModel:
        """The model that is changed.

        Raises:
            ArgumentError: it is not open.
        """
        if self.session.model is None:
            name = self.session.graph.metadata.get("model", "the graph's model")
            remedy = "open it with gmc.load, or pass model="
            raise ArgumentError("interventions", expected=f"{name}, open", got="no such model", remedy=remedy)
        return self.session.model

    def attempt(self, changes: list[Change], mode: Mode = "frozen-attention", new_tokens: int = 0) -> None:
        """Begin an experiment; its outcome joins the history. One that is under way is cancelled.

        Raises:
            ArgumentError: no changes, or the model is not open.
        """
        if not changes:
            raise ArgumentError("changes", expected="at least one", got="none")
        model, experiment = self.model, Experiment(tuple(changes), mode, new_tokens)
        self.set_trait("failure", "")

        def report(phase: str, share: float) -> None:
            self.set_trait("running", {"title": experiment.title, "phase": phase, "share": share})

        def ended(found: Any) -> None:
            self.set_trait("running", {})
            if isinstance(found, Experiment):
                self.history = (*self.history, found)
                self.restore(len(self.history) - 1)
            elif not isinstance(found, Stopped):
                self.set_trait("failure", str(found) or type(found).__name__)

        report("waiting", 0.0)
        self._runner.start(lambda: conduct(model, self.session.graph, experiment, report), ended)

    def cancel(self) -> None:
        """Stop what is under way; the model and the history stay as they were."""
        self._runner.stop()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing is under way; whether that came in time."""
        return self._runner.wait(seconds)

    def restore(self, index: int) -> None:
        """Lay an experiment over the graph and the heatmap, and select its nodes; -1 takes it away.

        Raises:
            ArgumentError: no such experiment.
        """
        if index == -1:
            self.session.overlay = {}
        else:
            experiment = self._experiment(index)
            nodes = dict.fromkeys(node for change in experiment.changes for node in change.nodes)
            self.session.selected = tuple(nodes)
            assert experiment.outcome is not None
            values = packed(experiment.outcome.changes, np.float32)
            self.session.overlay = {"name": experiment.title, "values": values}
        self.set_trait("current", index)

    def code(self, index: int) -> str:
        """An experiment as Python code that does the same in a fresh kernel.

        Raises:
            ArgumentError: no such experiment, or the model is not open.
        """
        return as_code(self.model, self.session.graph, self._experiment(index))

    def _experiment(self, index: int) -> Experiment:
        if not 0 <= index < len(self.history):
            raise ArgumentError("experiment", expected=f"0 to {len(self.history) - 1}", got=str(index))
        return self.history[index]

    def _read(self, message: Any) -> tuple[list[Change], Mode, int]:
        changes = [read_change(self.session.graph, change) for change in message["changes"]]
        return changes, message["mode"], int(message["new_tokens"])
