"""Weight files: names, shapes and dtypes are read when one is opened, values when they are used."""

from __future__ import annotations

import ctypes
import hashlib
import json
import mmap
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..data.errors import (
    MissingWeightsError,
    TruncatedWeightsError,
    WeightsDtypeError,
    WeightsShapeError,
)

REAL_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
WHOLE = 64 * 2**20
"""Files up to this size (bytes) are hashed whole."""
SAMPLE, SAMPLES = 4096, 512
"""Larger ones: bytes of one sample, and how many."""


@dataclass(frozen=True)
class Weights:
    """The tensors of one file (or of memory), mapped rather than read."""

    place: str
    """What errors call it: the file's name with its folder's."""
    tensors: dict[str, Tensor]
    path: Path | None = None
    """The file; None for memory."""
    offsets: Mapping[str, int] = field(default_factory=dict)
    """Where in the file a tensor's bytes begin; not for tensors that are compressed or in Fortran order."""

    def take(self, name: str, *shape: int | None) -> Tensor:
        """The tensor `name`, still in the file and in the file's dtype.

        Args:
            name: its name in the file.
            shape: what it must have; `None` where any size will do.

        Raises:
            MissingWeightsError: it is not in the file.
            WeightsDtypeError: it holds no floating-point numbers.
            WeightsShapeError: its shape is another.
        """
        if name not in self.tensors:
            raise MissingWeightsError(
                f"{self.place}: {name}",
                expected="a tensor of this name",
                got=", ".join(sorted(self.tensors)) or "no tensors",
                remedy="the file belongs to another layout or release",
            )
        tensor = self.tensors[name]
        if tensor.dtype not in REAL_DTYPES:
            raise WeightsDtypeError(
                f"{self.place}: {name}",
                expected="float32, float16, bfloat16 or float64",
                got=str(tensor.dtype).removeprefix("torch."),
                remedy="quantised dictionaries are not supported: use the original release",
            )
        if len(shape) != tensor.ndim or any(want not in (None, have) for want, have in zip(shape, tensor.shape)):
            raise WeightsShapeError(
                f"{self.place}: {name}",
                expected=f"shape ({', '.join('any' if size is None else str(size) for size in shape)})",
                got=f"({', '.join(map(str, tensor.shape))})",
                remedy="the file belongs to another release, or its layers do not fit together",
            )
        return tensor

    def take_if_there(self, name: str, *shape: int | None) -> Tensor | None:
        """As `take`, but None where the file has no such tensor."""
        return self.take(name, *shape) if name in self.tensors else None

    def rows(self, name: str, first: int = 0) -> Rows | None:
        """A reader of the rows of `name` (of its part `[:, first:]`); None where they cannot be read one by one."""
        if self.path is None or name not in self.offsets:
            return None
        tensor = self.tensors[name]
        stride = tensor[0].nbytes
        skipped = tensor[0, :first].nbytes if first else 0
        return Rows(self.path, self.offsets[name] + skipped, stride, tensor[:0, first:].shape[1:], tensor.dtype)


@dataclass(frozen=True)
class Rows:
    """Reads rows of a tensor straight from its file.

    A mapped tensor would do, but around every row that is touched the kernel makes megabytes resident.
    """

    path: Path
    offset: int
    """Where the first row begins, in bytes."""
    stride: int
    """From one row to the next, in bytes."""
    shape: torch.Size
    """Of a row."""
    dtype: torch.dtype

    def read(self, indices: Tensor) -> Tensor:
        """(n,) int64 to (n, *shape), in the file's dtype.

        Raises:
            TruncatedWeightsError: the file has become shorter since it was opened.
        """
        rows = torch.empty(len(indices), *self.shape, dtype=self.dtype)
        if not len(indices):
            return rows
        bytes_of_rows = rows.view(torch.uint8).view(len(indices), -1).numpy()
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            for row, index in zip(bytes_of_rows, indices.tolist()):
                if os.preadv(descriptor, [row], self.offset + index * self.stride) != row.nbytes:
                    raise TruncatedWeightsError(
                        f"{self.path.parent.name}/{self.path.name}", expected="the file that was opened", got="less"
                    )
        finally:
            os.close(descriptor)
        return rows


def open_weights(path: Path) -> Weights:
    """Map a `.safetensors` or `.npz` file into memory; nothing is unpickled and no values are read.

    Arrays of a *compressed* `.npz` cannot be mapped and are read whole (no known release is compressed).

    Raises:
        MissingWeightsError: there is no such file.
        TruncatedWeightsError: it is cut short or not of its format.
        WeightsDtypeError: an array of the `.npz` holds Python objects.
    """
    place = f"{path.parent.name}/{path.name}"
    if not path.is_file():
        raise MissingWeightsError(place, expected="a weight file", got="nothing", remedy="download it again")
    offsets: dict[str, int] = {}
    try:
        if path.suffix == ".npz":
            tensors = dict(_map_npz(path, place, offsets))
        else:
            with safe_open(path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            offsets = _safetensors_offsets(path)
    except (SafetensorError, zipfile.BadZipFile, EOFError, ValueError) as error:
        if isinstance(error, WeightsDtypeError):
            raise
        raise TruncatedWeightsError(
            place,
            expected=f"a complete {path.suffix} file",
            got=f"{path.stat().st_size:,} bytes ({error})",
            remedy="download it again",
        ) from error
    return Weights(place, tensors, path, offsets)


def _safetensors_offsets(path: Path) -> dict[str, int]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    return {name: 8 + length + entry["data_offsets"][0] for name, entry in header.items() if name != "__metadata__"}


def drop_pages(tensor: Tensor) -> None:
    """Take what was read of a mapped tensor out of resident memory; it is read again when it is used again.

    Only for tensors of a file: any other would lose its values.
    """
    if not hasattr(mmap, "MADV_DONTNEED"):
        return
    start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    extent = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride()))
    length = (tensor.data_ptr() + extent * tensor.element_size() - start) // mmap.PAGESIZE * mmap.PAGESIZE
    if tensor.numel() and length > 0:
        arguments = ctypes.c_void_p(start), ctypes.c_size_t(length), ctypes.c_int(mmap.MADV_DONTNEED)
        ctypes.CDLL(None).madvise(*arguments)


def _map_npz(path: Path, place: str, offsets: dict[str, int]) -> Iterator[tuple[str, Tensor]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            with archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                read_header = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shape, fortran, dtype = read_header(stream)
                header = stream.tell()
            if dtype.hasobject or not dtype.isnative:
                raise WeightsDtypeError(
                    f"{place}: {name}",
                    expected="an array of native numbers",
                    got=str(dtype),
                    remedy="pickled objects are never opened: save the numbers as float32",
                )
            if member.compress_type == zipfile.ZIP_STORED:
                start = _data_start(path, member.header_offset) + header
                if start + int(np.prod(shape)) * dtype.itemsize > path.stat().st_size:
                    raise EOFError(f"{name} ends beyond the file")
                array = np.memmap(path, dtype, "c", start, shape, "F" if fortran else "C")
                if not fortran:
                    offsets[name] = start
            else:
                with archive.open(member) as stream:
                    array = np.lib.format.read_array(stream, allow_pickle=False)
            yield name, torch.from_numpy(np.asarray(array))


def _data_start(path: Path, header_offset: int) -> int:
    """Where a zip member's bytes begin: after its local header of 30 bytes, its name and its extra field."""
    with path.open("rb") as file:
        file.seek(header_offset + 26)
        name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
    return header_offset + 30 + name + extra


def read_json(path: Path) -> dict:
    """The object in a JSON file.

    Raises:
        MissingWeightsError: there is no such file.
        TruncatedWeightsError: it is not a JSON object.
    """
    place = f"{path.parent.name}/{path.name}"
    if not path.is_file():
        raise MissingWeightsError(
            place,
            expected="the description of the weights",
            got="nothing",
            remedy="it lies beside the weights in the release: download it too",
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TruncatedWeightsError(place, expected="JSON", got=str(error), remedy="download it again") from error
    if not isinstance(value, dict):
        raise TruncatedWeightsError(place, expected="a JSON object", got=type(value).__name__)
    return value


def fingerprint(paths: Iterable[Path]) -> str:
    """Hex digest (SHA-256) of files: of their names, sizes and contents.

    Files up to 64 MiB are hashed whole. Of a larger one: the first MiB (a safetensors header and more), the
    last sample and 512 samples of 4 KiB, evenly spaced. So two releases always differ, and a file that was
    cut, replaced or retrained is noticed; a change of a few bytes inside a large file may not be. Names count
    from the folder that all the files share, so that moving the folder changes nothing. The files are read
    with `pread`, not mapped, which keeps them out of the process's resident memory.
    """
    files = sorted(Path(path) for path in paths)
    shared = Path(os.path.commonpath([file.parent for file in files])) if files else Path()
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.relative_to(shared).as_posix()}\0{size}\0".encode())
        descriptor = os.open(file, os.O_RDONLY)
        try:
            for start, length in _spans(size):
                digest.update(os.pread(descriptor, length, start))
        finally:
            os.close(descriptor)
    return digest.hexdigest()


def _spans(size: int) -> Iterator[tuple[int, int]]:
    mebibyte = 2**20
    if size <= WHOLE:
        yield from ((start, mebibyte) for start in range(0, size, mebibyte))
    else:
        yield 0, mebibyte
        yield from ((index * (size - SAMPLE) // SAMPLES, SAMPLE) for index in range(1, SAMPLES + 1))


def numbered(folder: Path, pattern: str, *, every: bool, count: int | None = None) -> dict[int, Path]:
    """The files or folders of `folder` whose name is `pattern` with a number for `{}`, by that number.

    Args:
        folder: where to look.
        pattern: a name with one `{}`.
        every: whether numbers must run from 0 without a gap.
        count: how many there must be, if known.

    Raises:
        MissingWeightsError: one of them is missing.
    """
    name = re.compile(re.escape(pattern).replace(r"\{\}", r"(\d+)"))
    matches = ((name.fullmatch(path.name), path) for path in folder.iterdir())
    found = dict(sorted((int(match[1]), path) for match, path in matches if match))
    wanted = range(max([*found, -1]) + 1 if count is None else count) if every else found
    if missing := [number for number in wanted if number not in found]:
        raise MissingWeightsError(
            f"{folder.name}/{pattern.format(missing[0])}",
            expected=f"{len(wanted)} files, {pattern.format(0)} to {pattern.format(wanted[-1])}",
            got=f"{len(found)}, without number {', '.join(map(str, missing))}",
            remedy="download what is missing",
        )
    return found


def save_weights(path: Path, tensors: Mapping[str, Tensor | None]) -> None:
    """Write the tensors that are not None to a new `.safetensors` file, each in its own dtype.

    Raises:
        OSError: the disk is full or the folder cannot be written to.
    """
    there = {name: tensor.contiguous() for name, tensor in tensors.items() if tensor is not None}
    try:
        save_file(there, path)
    except SafetensorError as error:
        raise OSError(str(error)) from error
