"""Views on disk: one file with the graph, what was added to it and what was tried; and the copy made meanwhile."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import platformdirs
import traitlets

from ..data import Circuit, Graph, files
from ..data.errors import ArgumentError, GemmaCircuitsError, GraphFileError
from .experiments import read_experiment

if TYPE_CHECKING:
    from .workbench import Workbench

PAUSE = 1.0
"""Seconds after the last change before the copy is written."""
KEPT = 20
"""Copies that are kept, the newest ones."""
_KERNEL = uuid4().hex[:8]
"""Tells the copies of this kernel from those of others."""
_SHARED = ("node_threshold", "edge_threshold", "filter")


def snapshot(view: Workbench) -> dict[str, Any]:
    """All that a view holds beyond its graph, as JSON values."""
    session = view.session
    return {
        **{name: getattr(session, name) for name in _SHARED},
        "selected": [node.index for node in session.selected],
        "annotations": session.notes.to_json(),
        "experiments": [experiment.to_json() for experiment in view.history],
        "layout": dict(view.layout_of_panes),
    }


def restore(view: Workbench, saved: Mapping[str, Any]) -> None:
    """Bring a view of the same graph to a snapshot; one that does not fit changes nothing.

    Raises:
        NodeError, ArgumentError: a snapshot of another graph, or none at all.
    """
    session, graph = view.session, view.session.graph
    try:
        history = tuple(read_experiment(graph, experiment) for experiment in saved["experiments"])
        notes, layout = graph.annotations.parse(saved["annotations"]), dict(saved["layout"])
        with session.hold_trait_notifications():
            for name in _SHARED:
                setattr(session, name, saved[name])
            session.selected, session.notes = tuple(saved["selected"]), notes
    except GemmaCircuitsError:
        raise
    except (LookupError, TypeError, ValueError, traitlets.TraitError) as error:
        raise ArgumentError("view", expected="what a view saved", got=f"{error}") from error
    view.history, view.layout_of_panes = history, layout


def save(view: Workbench, path: str | PathLike[str]) -> Path:
    """Write a view to one file; see `Workbench.save`."""
    return files.save(path, view.session.shown, snapshot(view))


def read(path: str | PathLike[str]) -> tuple[Graph | Circuit, dict[str, Any]]:
    """What `save` or an autosave wrote: the graph and a snapshot, empty for a graph saved by itself."""
    path = Path(path)
    if not path.is_dir():
        return files.load_view(path)
    shown, _ = files.load_view(path / "graph.gmc")
    try:
        saved = json.loads((path / "view.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise GraphFileError(str(path / "view.json"), expected="JSON of a view", got=str(error)) from error
    if not isinstance(saved, dict):
        raise GraphFileError(str(path / "view.json"), expected="JSON of a view", got=type(saved).__name__)
    return shown, saved


class Autosave:
    """Keeps a copy of a view's latest state on disk, so that a dead kernel costs nothing.

    The graph is written once, at the first change; after that, only what changes.
    """

    def __init__(self, view: Workbench) -> None:
        self._view = view
        key, root = _key(view.session.shown), autosaves()
        self.folder = root / f"{key}-{_KERNEL}"
        self._key = key
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    @property
    def earlier(self) -> list[Path]:
        """Copies of views of this graph that other kernels left, newest first."""
        return [copy for copy in _copies(self.folder.parent, self._key) if copy != self.folder]

    def touch(self, *_: Any) -> None:
        """Something changed: write soon."""
        self.cancel()
        self._timer = threading.Timer(PAUSE, self.write)
        self._timer.daemon = True
        self._timer.start()

    def write(self) -> None:
        """Write now. A copy that cannot be written is given up silently: nobody asked for it."""
        try:
            with self._lock:
                if not (self.folder / "graph.gmc").is_file():
                    self.folder.mkdir(parents=True, exist_ok=True)
                    files.save(self.folder / "graph.gmc", self._view.session.shown)
                text = json.dumps(snapshot(self._view))
                files.replace_file(self.folder / "view.json", lambda temporary: temporary.write_text(text, "utf-8"))
                _forget_old(self.folder.parent)
        except (OSError, GemmaCircuitsError):
            pass

    def cancel(self) -> None:
        """Drop a write that is waiting."""
        if self._timer is not None:
            self._timer.cancel()

    def discard(self) -> None:
        """Take the copy away."""
        self.cancel()
        with self._lock:
            shutil.rmtree(self.folder, ignore_errors=True)


def autosaves() -> Path:
    """The folder of the copies."""
    return platformdirs.user_state_path("gemma-circuits", appauthor=False) / "autosave"


def latest() -> Path:
    """The newest copy.

    Raises:
        ArgumentError: there is none.
    """
    found = _copies(autosaves())
    if not found:
        raise ArgumentError("recover", expected="an autosaved view", got="none", remedy=f"copies lie in {autosaves()}")
    return found[0]


def _copies(folder: Path, key: str = "") -> list[Path]:
    """Newest first."""
    return [file.parent for file in sorted(folder.glob(f"{key}*/view.json"), key=lambda file: -file.stat().st_mtime)]


def _forget_old(folder: Path) -> None:
    for old in _copies(folder)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def _key(shown: Graph | Circuit) -> str:
    """The same for the same graph traced again."""
    graph = shown.graph if isinstance(shown, Circuit) else shown
    digest = hashlib.sha256(json.dumps([graph.token_ids, graph.metadata], default=str, sort_keys=True).encode())
    for column in ("layer", "position", "feature"):
        digest.update(getattr(graph.nodes, column).tobytes())
    if isinstance(shown, Circuit):
        digest.update(shown.kept_edges.numpy().tobytes())
    return digest.hexdigest()[:20]
