"""The models that this process has open, so that a graph finds the one that it was traced on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from .replacement import ReplacementModel

_opened: WeakSet[ReplacementModel] = WeakSet()


def remember(model: ReplacementModel) -> None:
    """Let graphs of this model find it for as long as it is in use."""
    _opened.add(model)


def traced_on(metadata: Mapping[str, Any]) -> ReplacementModel | None:
    """The open model with the weights that a graph's metadata tells of; None where there is none."""
    for model in tuple(_opened):
        if (model.name, model.fingerprint, model.transcoder.fingerprint()) == tuple(
            metadata.get(name) for name in ("model", "model_hash", "transcoder_hash")
        ):
            return model
    return None
