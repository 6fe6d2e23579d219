"""Which store belongs to which model, and where it lies."""

from __future__ import annotations

from importlib.resources import files
from os import PathLike
from pathlib import Path

import platformdirs

from ..data.errors import ArgumentError, StoreMismatchError
from ..models import ReplacementModel
from . import schema
from .store import Store, describe

SHIPPED = Path(str(files("gemma_circuits"))) / "pocket" / "weights" / "features"
"""The store that comes with the pocket model."""


def open_store(
    path: str | PathLike[str] | None = None, *, model: ReplacementModel | None = None, create: bool = False
) -> Store:
    """Open a feature store.

    Args:
        path: its folder; None for the model's own in the user's data folder. The pocket model's comes with the package
            and is copied to there by the first write.
        model: the model and transcoder to use it with; others are refused.
        create: make an empty one for `model` where there is none.

    Raises:
        MissingStoreError: there is none.
        StoreMismatchError: it was made from another model or transcoder.
        NewerStoreError, StoreError: its database cannot be read.
        ArgumentError: neither path nor model, or `create` without a model.

    Example:
        >>> open_store(model=load())  # doctest: +SKIP
    """
    if model is None and (path is None or create):
        raise ArgumentError("open", expected="a path, or a model to go by", got="neither", remedy="pass model=load()")
    copy, folder = None, Path(path) if path is not None else default_path(model)  # pyright: ignore[reportArgumentType]
    if path is None and not (folder / schema.FILE).is_file() and _is_shipped(model):
        folder, copy = SHIPPED, folder
    store = Store(folder, create=describe(model) if create and model is not None else None, copy=copy)
    try:
        if model is not None:
            store.check(model)
    except BaseException:
        store.close()
        raise
    return store


def default_path(model: ReplacementModel) -> Path:
    """Where a model's own store lies: by the names of model and transcoder, and by what the transcoder's files hold."""
    transcoder = model.transcoder
    names = (model.name, f"{transcoder.source}-{transcoder.fingerprint()[:12]}")
    data = platformdirs.user_data_path("gemma-circuits", appauthor=False)
    return data.joinpath("features", *(name.strip("/").replace("/", "--") for name in names))


def _is_shipped(model: ReplacementModel | None) -> bool:
    if model is None or not (SHIPPED / schema.FILE).is_file():
        return False
    with Store(SHIPPED, copy=SHIPPED) as store:
        try:
            store.check(model)
        except StoreMismatchError:
            return False
        return True
