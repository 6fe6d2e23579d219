"""Where the widgets' JavaScript lies, and what to do where it does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from ..data import Circuit, Graph, Node, Supernode
from ..data.display import shorten
from ..data.errors import MissingPackageError
from .session import Session

STATIC = Path(__file__).parent / "static"


def bundled(name: str) -> dict[str, Path]:
    """Module and style sheet of a widget, as anywidget's class attributes `_esm` and `_css`.

    Raises:
        MissingPackageError: the bundle was not built.
    """
    files = {"_esm": STATIC / f"{name}.js", "_css": STATIC / f"{name}.css"}
    for file in files.values():
        if not file.is_file():
            remedy = "install the package anew (pip install -e .), which builds it"
            raise MissingPackageError(f"widget {name!r}", expected=str(file), got="no such file", remedy=remedy)
    return files


class Widget(anywidget.AnyWidget):
    """Base of the views: its JavaScript is the bundle of the twin folder in `widgets/src`, its state the session's."""

    bundle: str
    """Name of the twin."""
    _session = traitlets.Unicode(read_only=True).tag(sync=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "bundle" in cls.__dict__ and STATIC.is_dir():
            for name, file in bundled(cls.bundle).items():
                setattr(cls, name, file)
        super().__init_subclass__(**kwargs)

    def __init__(self, shown: Graph | Circuit, **traits: Any) -> None:
        bundled(self.bundle)
        super().__init__(**traits)
        self.session = Session.of(shown)
        self.set_trait("_session", f"anywidget:{self.session.model_id}")

    @property
    def selected(self) -> tuple[Node, ...]:
        """The nodes that are selected, in all views; set it to anything that `Annotations.node` takes."""
        return self.session.selected

    @selected.setter
    def selected(self, nodes: Iterable[Any]) -> None:
        self.session.selected = tuple(nodes)

    @property
    def pinned(self) -> tuple[Node, ...]:
        """The nodes that are pinned: the graph's annotations hold them."""
        return self.session.notes.pinned

    @pinned.setter
    def pinned(self, nodes: Iterable[Any]) -> None:
        self.session.graph.annotations.update(pinned=nodes)

    @property
    def supernodes(self) -> tuple[Supernode, ...]:
        """The groups of the graph's annotations; set it to supernodes, or to nodes by name."""
        return self.session.notes.supernodes

    @supernodes.setter
    def supernodes(self, groups: Iterable[Supernode] | Mapping[str, Iterable[Any]]) -> None:
        self.session.graph.annotations.update(supernodes=groups)

    def __repr__(self) -> str:
        session = self.session
        counts = {"selected": self.selected, "pinned": self.pinned, "supernodes": self.supernodes}
        told = ", ".join(f"{len(nodes)} {name}" for name, nodes in counts.items())
        return f"{type(self).__name__} of {shorten(session.graph.prompt)}: {session.circuit.nodes.counts}; {told}"
