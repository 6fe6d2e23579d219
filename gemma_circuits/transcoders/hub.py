"""Fetch from the Hugging Face hub the files of one dictionary and no others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import list_repo_files, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage]  (what the hub raises without a connection)
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)

from ..data.errors import MissingWeightsError, StorageError
from .find import find


class HubAddress(NamedTuple):
    """`org/repo/sub/folder`, taken apart."""

    repo: str
    folder: str
    """Inside the repository; may be empty."""


def parse_address(where: str) -> HubAddress | None:
    """None if `where` cannot be a hub id."""
    match = re.fullmatch(r"(\w[\w.-]*/\w[\w.-]*)((?:/\w[\w.-]*)*)/?", where)
    return HubAddress(match[1], match[2].strip("/")) if match else None


def fetch(address: HubAddress, cache: str | Path | None) -> Path:
    """Download what is not in the cache yet, and return the local folder that stands for the repository.

    Honours `HF_HUB_OFFLINE`, and works from the cache when the hub cannot be reached.

    Raises:
        MissingWeightsError: the hub does not have it, or cannot be reached and the cache lacks some of it.
        StorageError: it could not be written to the cache.
    """
    place = "/".join(filter(None, address))
    try:
        return Path(snapshot_download(address.repo, allow_patterns=_patterns(address), cache_dir=cache))
    except (HTTPError, HFValidationError, LocalEntryNotFoundError, IncompleteSnapshotError) as error:
        raise MissingWeightsError(
            place,
            expected="a local folder, or a dictionary on the hub",
            got=f"{type(error).__name__}: {error}",
            remedy="check the name (gmc.catalogue lists the released ones) and the connection",
        ) from error
    except OSError as error:
        raise StorageError(f"cache of {place}", got=str(error), remedy="free some space, or set HF_HOME") from error


def _patterns(address: HubAddress) -> list[str]:
    """Which files to download, in the hub's notation (`*` matches slashes too)."""
    repo, folder = address
    if not folder:
        return ["W_enc_*.safetensors", "W_dec_*.safetensors", "layer_*.safetensors", "config.yaml"]
    if re.fullmatch(r"(layer_\d+/)?width_[^/]+", folder):
        # Gemma Scope 1 holds several average L0 of each layer; one is wanted.
        try:
            found = find(list_repo_files(repo), folder)
        except (OfflineModeIsEnabled, HTTPError) as error:
            if isinstance(error, HfHubHTTPError):
                raise
            return []
        return [f"{path}/*" for path in found.folders.values()] if found else []
    parent, _, variant = folder.rpartition("/")
    return [f"{folder}/*", f"{parent}/layer_*_{variant}/*"]
