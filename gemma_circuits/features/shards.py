"""Files of examples: a run of features of one layer in one safetensors file, activations where they are not zero."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..data.errors import ShardError
from ..data.files import replace_file

FOLDER = "shards"
FEATURES = 2048
"""In one file."""
Kind = Literal["top", "sample"]
KINDS: tuple[Kind, ...] = ("top", "sample")
"""The strongest examples, and a uniform sample of all."""


@dataclass(frozen=True)
class Block:
    """The examples of one kind of a run of features, flat; the examples of a feature lie side by side."""

    starts: np.ndarray
    """(features + 1,) int32: where each feature's examples begin."""
    contexts: np.ndarray
    """(examples,) int64: number of the context."""
    positions: np.ndarray
    """(examples,) int32: of the strongest activation in the context."""
    fires: np.ndarray
    """(examples + 1,) int32: where each example's activations begin."""
    offsets: np.ndarray
    """(activations,) int16: position, counted from the strongest."""
    values: np.ndarray
    """(activations,) float32."""

    def of(self, row: int) -> list[tuple[int, int, np.ndarray, np.ndarray]]:
        """Context, position, offsets and values of each example of the run's feature number `row`."""
        found = []
        for example in range(self.starts[row], self.starts[row + 1]):
            fires = slice(self.fires[example], self.fires[example + 1])
            place = int(self.contexts[example]), int(self.positions[example])
            found.append((*place, self.offsets[fires], self.values[fires]))
        return found


def write(folder: Path, name: str, blocks: dict[Kind, Block]) -> str:
    """Write one file, complete or not at all; returns its digest.

    Raises:
        StorageError: it could not be written.
    """
    content = save({f"{kind}_{key}": array for kind, block in blocks.items() for key, array in vars(block).items()})
    replace_file(folder / FOLDER / name, lambda temporary: temporary.write_bytes(content))
    return _digest(content)


@lru_cache(maxsize=16)
def read(folder: Path, name: str, digest: str) -> dict[Kind, Block]:
    """Read one file.

    Raises:
        FileNotFoundError: there is none.
        ShardError: it is not what was written.
    """
    path = folder / FOLDER / name
    content = path.read_bytes()
    remedy = "the other features are not touched; to repair these, collect anew or restore the file from a copy"
    if (found := _digest(content)) != digest:
        got = f"{len(content):,} bytes with digest {found}"
        raise ShardError(f"{FOLDER}/{name}", expected=f"the file written, with digest {digest}", got=got, remedy=remedy)
    try:
        arrays = load(content)
        return {kind: Block(**{key: arrays[f"{kind}_{key}"] for key in Block.__dataclass_fields__}) for kind in KINDS}
    except (SafetensorError, KeyError) as error:
        raise ShardError(f"{FOLDER}/{name}", expected="examples", got=str(error), remedy=remedy) from error


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
