"""The circuit graph: token columns by layer rows, pruned, searched, pinned and grouped by hand."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import traitlets

from ..data import Circuit, Graph
from ..data.errors import StorageError
from ..data.files import replace_file
from .drawn import packed
from .neighbours import among, neighbours
from .session import Session
from .widget import Widget


class CircuitGraph(Widget):
    """The circuit graph: token columns by layer rows, pruned, searched, pinned and grouped by hand.

    Press `?` in it for its keys.

    Args:
        shown: graph (pruned by the usual thresholds at first) or circuit.
        height: of the graph without the panes, in pixels, 200 or more.

    Raises:
        traitlets.TraitError: a height below 200.

    Example:
        >>> view = CircuitGraph(graph)  # doctest: +SKIP
        >>> view.selected  # after a click  # doctest: +SKIP
    """

    bundle = "circuit"
    height = traitlets.Int(520, min=200).tag(sync=True)

    def __init__(self, shown: Graph | Circuit, *, height: int = 520) -> None:
        super().__init__(shown, height=height)
        self._svgs: list[Path] = []
        self.on_msg(self._drawn)
        session = self.session
        session.answer("neighbours", lambda node: _neighbours(session, node))
        session.answer("among", lambda nodes: _among(session, nodes))
        session.answer("paths", lambda message: _paths(session, message))

    def to_svg(self, path: str | PathLike[str]) -> Path:
        """Write exactly what the page shows of the graph as an SVG file, text as text.

        The page draws it, so the file is there a moment after the cell has ended, and only where this view is shown;
        `circuit.figure()` needs no page.

        Raises:
            StorageError: the folder does not exist.
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise StorageError(str(path), expected="a folder that exists", remedy=f"create {path.parent} first")
        self._svgs.append(path)
        self.send({"kind": "svg"})
        return path

    def _drawn(self, _: Any, content: Any, __: Any) -> None:
        if content.get("kind") == "svg" and self._svgs:
            text = str(content["text"])
            replace_file(self._svgs.pop(0), lambda temporary: temporary.write_text(text, "utf-8"))


def _neighbours(session: Session, node: Any) -> tuple[dict[str, Any], list[bytes]]:
    index = session.graph.annotations.node(node).index
    inputs, outputs = neighbours(session.graph, session.incoming, index)
    return {"inputs": inputs._asdict(), "outputs": outputs._asdict()}, []


def _paths(session: Session, message: Any) -> tuple[dict[str, Any], list[bytes]]:
    """The strongest paths of the pruned graph; ends are a kind or indices."""
    found = session.circuit.paths(message["from"], message["to"], message["count"])
    listed = [{"nodes": [node.index for node in path.nodes], "share": path.share, "sign": path.sign} for path in found]
    return {"paths": listed, "covered": sum(path.share for path in found)}, []


def _among(session: Session, nodes: Any) -> tuple[int, list[bytes]]:
    indices = {session.graph.annotations.node(node).index for node in nodes}
    links = among(session.graph, sorted(indices))
    columns = zip(links, (np.int32, np.int32, np.float32))
    return len(links.weight), [packed(column, dtype) for column, dtype in columns]
