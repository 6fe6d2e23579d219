"""Write a dictionary in another layout, layer by layer."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from tqdm.auto import tqdm

from ..data.errors import ArgumentError, StorageError
from .circuit_tracer import check_circuit_tracer, write_circuit_tracer
from .gemma_scope import check_gemma_scope_2, write_gemma_scope_2
from .gemma_scope_1 import check_gemma_scope_1, write_gemma_scope_1
from .open import open_transcoder
from .stored import StoredTranscoder

LayoutName = Literal["gemma-scope-1", "gemma-scope-2", "circuit-tracer"]


class _Layout(NamedTuple):
    check: Callable[[StoredTranscoder, Path], None]
    write: Callable[[StoredTranscoder, Path, int], None]
    """One layer into a folder that exists."""


LAYOUTS: dict[str, _Layout] = {
    "gemma-scope-1": _Layout(check_gemma_scope_1, write_gemma_scope_1),
    "gemma-scope-2": _Layout(lambda transcoder, _: check_gemma_scope_2(transcoder), write_gemma_scope_2),
    "circuit-tracer": _Layout(lambda transcoder, _: check_circuit_tracer(transcoder), write_circuit_tracer),
}


def convert(
    source: str | Path | StoredTranscoder,
    destination: str | Path,
    layout: LayoutName,
    *,
    progress: bool = True,
) -> Path:
    """Write a dictionary to a new folder in the given layout, one layer in memory at a time.

    Every tensor keeps its dtype and its bits; CLT decoders change between ragged and absolute. The folder
    appears under its name only when it is complete; a process that is killed leaves `.{name}.partial-{number}`
    beside it.

    Args:
        source: a folder or hub id (as for `open_transcoder`), or an opened dictionary.
        destination: must not exist. For "gemma-scope-1" its name must end in `-res`, `-mlp`, `-att` or
            `-transcoders`.
        layout: "gemma-scope-1", "gemma-scope-2" or "circuit-tracer".
        progress: whether to show a progress bar.

    Returns:
        The destination.

    Raises:
        ArgumentError: an unknown layout, or a destination that exists or has the wrong name.
        UnsupportedModelError: the layout cannot hold this dictionary.
        StorageError: the files could not be written; nothing is left behind.
        WeightsError: as `open_transcoder`.
    """
    if layout not in LAYOUTS:
        raise ArgumentError("layout", expected=f"one of {', '.join(LAYOUTS)}", got=repr(layout))
    final = Path(destination).expanduser()
    if final.exists():
        raise ArgumentError(final.name, expected="a folder that does not exist yet", remedy="remove or rename it")
    transcoder = source if isinstance(source, StoredTranscoder) else open_transcoder(source)
    check, write = LAYOUTS[layout]
    check(transcoder, final)
    partial = final.with_name(f".{final.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        for layer in tqdm(transcoder.layers, desc=f"write {final.name}", unit="layer", disable=not progress):
            write(transcoder, partial, layer)
            transcoder.release(layer)
        partial.rename(final)
    except OSError as error:
        raise StorageError(final.name, got=str(error), remedy="free some space or choose another folder") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return final
