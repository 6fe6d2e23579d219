"""Which files make up the dictionary that an address means, for a list of files here or on the hub."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from ..data.errors import ArgumentError

TYPICAL_L0 = 100
"""Of the Gemma Scope 1 dictionaries of a layer, the one whose average L0 is closest to this is meant."""

Layout = Literal["gemma-scope-2", "gemma-scope-2-set", "gemma-scope-1", "circuit-tracer"]

WHOLE_FOLDERS: dict[str, Layout] = {
    r"params(_layer_\d+)?\.safetensors": "gemma-scope-2",
    r"(W_enc|W_dec|layer)_\d+\.safetensors": "circuit-tracer",
}
ROOT = r"(?P<root>.*/|)layer_(?P<layer>\d+)"
IN_SETS: dict[str, Layout] = {
    ROOT + r"_(?P<variant>[^/\d][^/]*)(?P<l0>)/(params\.safetensors|config\.json)": "gemma-scope-2-set",
    ROOT + r"/(?P<variant>width_[^/]+)/average_l0_(?P<l0>\d+)/params\.npz": "gemma-scope-1",
}


@dataclass(frozen=True)
class Found:
    """Where the files of one dictionary lie."""

    layout: Layout
    folders: dict[int, PurePosixPath]
    """By layer, ascending; a folder of all layers (or of one that its own file names) is number 0."""


def find(files: Iterable[str], address: str) -> Found | None:
    """What `address` means among `files`.

    Args:
        files: paths of files, all relative to one root or all absolute.
        address: a folder; or `{root}/{variant}` for every `{root}/layer_{L}_{variant}` (exactly that
            variant) or `{root}/layer_{L}/{variant}`; or the folder of such layers, if of one variant only.

    Returns:
        None if it means nothing.

    Raises:
        ArgumentError: it means several dictionaries.
    """
    files, here = list(files), PurePosixPath(address)
    for pattern, layout in WHOLE_FOLDERS.items():
        if any(re.fullmatch(pattern, file.name) for file in map(PurePosixPath, files) if file.parent == here):
            return Found(layout, {0: here})
    for pattern, layout in IN_SETS.items():
        meant: dict[str, dict[int, tuple[int, PurePosixPath]]] = {}
        for match in filter(None, (re.fullmatch(pattern, file) for file in files)):
            root, folder = PurePosixPath(match["root"]), PurePosixPath(match[0]).parent
            inside = (folder, folder.parent, folder.parent.parent) if layout == "gemma-scope-1" else ()
            if here in (root, root / match["variant"], *inside):
                layers, layer = meant.setdefault(match["variant"], {}), int(match["layer"])
                choice = abs(int(match["l0"] or 0) - TYPICAL_L0), folder
                layers[layer] = min(layers.get(layer, choice), choice)
        if len(meant) > 1:
            raise ArgumentError(
                here.name or "the repository",
                expected="one dictionary",
                got=f"{len(meant)}: {', '.join(sorted(meant))}",
                remedy="append one of these to the address",
            )
        for layers in meant.values():
            return Found(layout, {layer: layers[layer][1] for layer in sorted(layers)})
    return None
