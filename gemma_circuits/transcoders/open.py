"""Open a dictionary of any layout, from a folder or from the hub."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from ..data.errors import MissingWeightsError, UnsupportedModelError
from .circuit_tracer import open_circuit_tracer
from .find import find
from .gemma_scope import open_gemma_scope_2, open_gemma_scope_2_set
from .gemma_scope_1 import open_gemma_scope_1
from .protocol import Site
from .stored import StoredTranscoder


def open_transcoder(
    where: str | Path, *, site: Site | None = None, cache: str | Path | None = None
) -> StoredTranscoder:
    """Open a dictionary without reading its weights: they are mapped, and read when they are used.

    `where` is a local folder or, if there is none of that name, a hub id `org/repo/folder`:

    - one folder that holds a CLT, a crosscoder, or a single layer, in any layout;
    - `.../transcoder_all/width_16k_l0_small_affine`: every folder `layer_{L}_width_16k_l0_small_affine`
      there, and none whose name goes on (`..._seed_1`); `layer_{L}_width_16k_l0_small_affine` means the same;
    - `google/gemma-scope-2b-pt-transcoders/width_16k`: of every `layer_{L}/width_16k` the dictionary whose
      average L0 is closest to 100. `.../layer_5/width_16k` is that of one layer,
      `.../layer_5/width_16k/average_l0_76` just the one;
    - the folder of such layers itself, if it holds one variant only.

    Args:
        where: folder or hub id.
        site: where a Gemma Scope 1 dictionary reads, if no folder above says so (`-res`, `-transcoders`).
        cache: the hub's cache folder, if not the usual one.

    Raises:
        MissingWeightsError: there is no such folder or id, or a file, layer or tensor is missing in it.
        UnsupportedModelError: a layout or a place in the model that this package has no record of.
        ArgumentError: the folder holds several dictionaries.
        WeightsError: files that are damaged or do not fit together.
    """
    where = type(where)(re.sub(r"layer_\{L\}[_/]", "", str(where)))
    folder = Path(where).expanduser()
    if files := _weight_files(folder):
        return _open(folder.absolute(), files, _name(folder.absolute()), site)
    address = None
    if not isinstance(where, Path) and not folder.is_dir():
        from .hub import fetch, parse_address  # huggingface_hub takes as long to import as all that folders need

        address = parse_address(where)
    if address:
        folder = fetch(address, cache) / address.folder
        if files := _weight_files(folder):
            return _open(folder, files, str(where).strip("/"), site)
    if folder.is_dir() and (there := sorted(path.name for path in folder.iterdir())):
        raise UnsupportedModelError(
            folder.name,
            expected="a dictionary of Gemma Scope 1, Gemma Scope 2 or circuit-tracer",
            got=", ".join(there[:6]) + ", ..." * (len(there) > 6),
            remedy="gmc.catalogue lists the released ones; unknown layouts are not guessed at",
        )
    raise MissingWeightsError(
        str(where) if address else folder.name,
        expected="a folder with a dictionary, or a hub id org/repo/folder",
        got="nothing there",
        remedy="check the name; gmc.catalogue lists the released ones",
    )


def _weight_files(folder: Path) -> list[str]:
    """Absolute paths of the files that decide what `folder` (which need not exist) means."""
    if folder.is_dir():
        inside = ("", "layer_*", "layer_*/width_*/average_l0_*", "width_*/average_l0_*", "average_l0_*")
        patterns, root = [f"{part}/{name}" for part in inside for name in ("*.safetensors", "*.npz")], folder
        patterns.append("layer_*/config.json")
    else:
        name, root = glob.escape(folder.name), folder.parent
        patterns = [f"layer_*_{name}/*.*", f"layer_*/{name}/average_l0_*/params.npz"]
    root = root.absolute()
    return [path.as_posix() for pattern in patterns for path in root.glob(pattern.lstrip("/"))]


def _open(folder: Path, files: list[str], source: str, site: Site | None) -> StoredTranscoder:
    found = find(files, folder.as_posix())
    if found is None:
        names = ", ".join(sorted({Path(file).name for file in files})[:6])
        raise UnsupportedModelError(
            source,
            expected="a dictionary of Gemma Scope 1, Gemma Scope 2 or circuit-tracer",
            got=names,
            remedy="a Gemma Scope 1 file must keep its folders layer_{L}/width_{W}/average_l0_{N}",
        )
    folders = {layer: Path(path) for layer, path in found.folders.items()}
    if found.layout == "circuit-tracer":
        return open_circuit_tracer(folder, source)
    if found.layout == "gemma-scope-2":
        return open_gemma_scope_2(folder, source)
    every = len(folders) > 1 and re.search(r"(_all|-transcoders)(/|$)", f"{source}/{folder.as_posix()}")
    if every and (missing := sorted(set(range(max(folders))) - set(folders))):
        raise MissingWeightsError(
            f"{source}: layer {missing[0]}",
            expected=f"every layer from 0 to {max(folders)}",
            got=f"none for {', '.join(map(str, missing))}",
            remedy="download what is missing",
        )
    if found.layout == "gemma-scope-2-set":
        return open_gemma_scope_2_set(folders, source)
    return open_gemma_scope_1(folders, source, site)


def _name(folder: Path) -> str:
    """The folder's name, after those that it needs to be understood: `clt/width_262k_l0_medium`."""
    parts = [folder.name]
    for parent in folder.parents:
        if not re.match(r"layer_\d|width_|average_l0_", parts[0]) or not parent.name:
            break
        parts.insert(0, parent.name)
    return "/".join(parts)
