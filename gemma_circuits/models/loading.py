"""`load`: opens a model and the transcoder that belongs to it."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from ..data.errors import ArgumentError
from ..transcoders import StoredTranscoder, Transcoder, open_transcoder, recommended
from .memory import free_memory
from .replacement import ReplacementModel, check_fit
from .weights import open_checkpoint, open_config, weight_files

POCKET = "gemma-circuits/pocket"
"""Name of the model that ships with this package."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class MismatchWarning(UserWarning):
    """A transcoder whose files record another model than the one it is used on."""


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for garbage: importing libraries makes none, and looking takes a tenth of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@_uncollected()
def load(
    model: str | Path | None = None,
    transcoder: str | Path | Transcoder | None = None,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> ReplacementModel:
    """Open a model and its transcoder.

    The pocket model's network is opened by its first use, since importing transformers takes seconds.

    Args:
        model: a hub id or a local folder; None for the pocket model, which ships with this package.
        transcoder: a hub id with the folder behind it, a local folder, or an opened one; None for the one recommended
            for the model (`gemma_circuits.catalogue` lists all).
        device: "cpu", "cuda", "mps", or "auto" to spread the model over all devices; None for the best one at hand.
        dtype: "float32", "bfloat16" or "float16"; None for the checkpoint's own on an accelerator and float32 on CPU.

    Raises:
        WeightsError: missing, truncated or ill-shaped files (its subclasses tell which).
        MismatchError: model and transcoder do not belong together.
        UnsupportedModelError: an architecture or a file layout without a record.
        ArgumentError: a device or dtype that there is not.

    Example:
        >>> model = load()
        >>> model.n_layers
        6
    """
    device = _device(device)
    if dtype is not None and dtype not in (*DTYPES, *DTYPES.values()):
        raise ArgumentError("dtype", expected="one of " + ", ".join(DTYPES), got=repr(dtype))
    dtype = DTYPES[dtype] if isinstance(dtype, str) else dtype
    if dtype is None and (device == "cpu" or _device(None) == "cpu"):
        dtype = torch.float32
    where = model if model is not None else POCKET
    name = Path(where).name if Path(where).is_dir() else str(where)
    given = transcoder
    if transcoder is None:
        transcoder = _recommended(name)
    if isinstance(transcoder, str | Path):
        transcoder = open_transcoder(transcoder)
    place = _pocket("model") if name == POCKET else where
    settled: Transcoder = transcoder

    @_uncollected()
    def opening() -> tuple[Any, Any, tuple[Path, ...]]:
        config = open_config(place)
        check_fit(settled, config, name)  # before gigabytes of weights are read
        _warn_of_other_name(settled.model_name, where)
        network, tokenizer, weights = open_checkpoint(place, config, device, dtype)
        if device != "cpu" and isinstance(settled, StoredTranscoder):
            _hold_encoders(settled, network.lm_head.weight.device)
        return network, tokenizer, weights

    if name == POCKET and given is None:  # they are whole and belong together
        weights = weight_files(str(place))
        opened = ReplacementModel.opened_by_use(lambda: opening()[:2], transcoder, name=name, files=weights)
    else:
        network, tokenizer, weights = opening()
        opened = ReplacementModel(network, tokenizer, transcoder, name=name, files=weights)
    if given is None or isinstance(given, str | Path):
        opened.opened_as = tuple(str(part) for part in (model, given) if part is not None)
    return opened


def _hold_encoders(transcoder: StoredTranscoder, device: torch.device) -> None:
    """Keep encoders on the accelerator where they take less than half of what is free there."""
    size = sum(tensors.w_enc.nbytes for tensors in map(transcoder.tensors, transcoder.layers))
    if device.type == "cuda" and size < free_memory(device) / 2:
        transcoder.hold_encoders(device)


def _pocket(folder: str) -> Path:
    return Path(str(files("gemma_circuits"))) / "pocket" / "weights" / folder


def _recommended(name: str) -> str | Path:
    if name == POCKET:
        return next(iter(sorted(_pocket("clt").glob("width_*"))), _pocket("clt"))
    found = recommended(name)
    if found is None:
        raise ArgumentError(
            f"transcoder for {name}",
            expected="a folder or a hub id",
            got="None",
            remedy="no release is known to belong to this model: name one",
        )
    return found


def _device(device: str | torch.device | None) -> str:
    if device is None:
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if str(device) == "auto":
        return "auto"
    try:
        kind = torch.device(device).type
    except (RuntimeError, TypeError):
        kind = None
    if kind not in ("cpu", "cuda", "mps"):
        raise ArgumentError("device", expected="cpu, cuda, mps or auto", got=repr(device))
    if (kind == "cuda" and torch.cuda.device_count() <= (torch.device(device).index or 0)) or (
        kind == "mps" and not torch.backends.mps.is_available()
    ):
        raise ArgumentError("device", expected="a device of this machine", got=repr(device), remedy="leave it out")
    return "cpu" if kind == "cpu" else str(device)


def _warn_of_other_name(recorded: str | None, where: str | Path) -> None:
    if recorded and Path(recorded).name.lower() not in {part.lower() for part in Path(where).parts}:
        warnings.warn(
            f"the transcoder was trained on {recorded}, and is used here on {Path(where).name}",
            MismatchWarning,
            stacklevel=6,
        )
