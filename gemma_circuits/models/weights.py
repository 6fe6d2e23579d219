"""Opens a Hugging Face checkpoint, with every way in which it can be broken told apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ..data.errors import (
    MissingWeightsError,
    TruncatedWeightsError,
    UnsupportedModelError,
    WeightsDtypeError,
    WeightsShapeError,
)
from .architecture import architecture_of

_FLOATS = {"F64", "F32", "F16", "BF16"}


def open_config(where: str | Path) -> Any:
    """Read a checkpoint's Hugging Face configuration.

    Args:
        where: a local folder or a hub id.

    Raises:
        MissingWeightsError: there is none.
        UnsupportedModelError: an architecture without a record.
    """
    # transformers takes seconds to import, which `import gemma_circuits` should not.
    from transformers import AutoConfig

    if isinstance(where, Path) and not where.is_dir():
        raise MissingWeightsError(str(where), expected="a folder", got="nothing", remedy="check the spelling")
    try:
        config = AutoConfig.from_pretrained(str(where))
    except (OSError, ValueError) as error:
        raise _not_found(str(where), error) from error
    architecture_of(config)
    return config


def open_checkpoint(
    where: str | Path, config: Any, device: str, dtype: torch.dtype | None
) -> tuple[Any, Any, tuple[Path, ...]]:
    """Load a model with eager attention, its tokenizer, and the paths of its weight files.

    Args:
        where: a local folder or a hub id.
        config: its configuration, from `open_config`.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto" for Hugging Face's placement over all devices.
        dtype: of the weights; None for the checkpoint's own.

    Raises:
        MissingWeightsError, TruncatedWeightsError, WeightsShapeError, WeightsDtypeError: bad files.
    """
    from transformers import AutoModelForCausalLM

    opener: Any = AutoModelForCausalLM  # its stubs do not know that the loading report makes it a pair
    name = str(where)
    if Path(name).is_dir():
        _check_files(Path(name))
    try:
        with _quiet_if_small(name):
            model, report = opener.from_pretrained(
                name,
                config=config,
                dtype=dtype or "auto",
                attn_implementation="eager",
                device_map=device,
                use_safetensors=True,  # nothing is unpickled
                ignore_mismatched_sizes=True,  # they are in the report, and refused below
                output_loading_info=True,
            )
    except SafetensorError as error:
        raise TruncatedWeightsError(name, expected="whole safetensors files", got=str(error)) from error
    except (OSError, ImportError) as error:
        raise _not_found(name, error) from error
    if missing := sorted(report["missing_keys"]):
        raise MissingWeightsError(name, expected=f"tensor {missing[0]}", got=f"{len(missing)} tensors missing")
    if mismatched := sorted(report["mismatched_keys"]):
        key, found, wanted = mismatched[0]
        raise WeightsShapeError(
            f"{name}, tensor {key}",
            expected=f"shape {tuple(wanted)}, by config.json",
            got=str(tuple(found)),
            remedy="config.json and the weights belong to different models",
        )
    return model.eval().requires_grad_(False), _open_tokenizer(name), weight_files(name, config)


@contextmanager
def _quiet_if_small(name: str) -> Iterator[None]:
    """No bar for what loads in a moment."""
    from transformers.utils import logging

    small = sum(file.stat().st_size for file in Path(name).glob("*.safetensors")) < 2**28 and Path(name).is_dir()
    if not (small and logging.is_progress_bar_enabled()):
        yield
        return
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


def _open_tokenizer(name: str) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except OSError as error:
        raise _not_found(name, error) from error
    except Exception as error:  # a damaged file raises whatever its parser tripped over
        raise TruncatedWeightsError(
            f"{name}, tokenizer", expected="readable files", got=str(error).split("\n")[0], remedy="download them again"
        ) from error
    # Without files, transformers makes up a tokenizer of special tokens only.
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise MissingWeightsError(f"{name}, tokenizer", expected="tokenizer.json or tokenizer.model", got="neither")
    return tokenizer


def _not_found(name: str, error: Exception) -> MissingWeightsError | UnsupportedModelError:
    if isinstance(error, ValueError) and "model type" in str(error):
        return UnsupportedModelError(name, got=str(error).split("\n")[0])
    return MissingWeightsError(
        name,
        expected="a folder with config.json, safetensors and a tokenizer, or a hub id that can be reached",
        got=str(error).split("\n")[0],
        remedy="check the spelling; gated models need their licence accepted on the hub and a login",
    )


def _check_files(folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    if index.exists():
        files = sorted({folder / f for f in json.loads(index.read_text())["weight_map"].values()})
    else:
        files = [folder / "model.safetensors"]
    for file in files:
        if not file.exists():
            raise MissingWeightsError(str(file), expected="a weight file", got="nothing")
        try:
            with safe_open(file, "pt") as tensors:
                dtypes = {key: tensors.get_slice(key).get_dtype() for key in tensors.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise TruncatedWeightsError(
                str(file), expected="a whole safetensors file", got=str(error), remedy="download it again"
            ) from error
        for key, dtype in dtypes.items():
            if dtype not in _FLOATS:
                raise WeightsDtypeError(
                    f"{file.name}, tensor {key}",
                    expected="a floating-point dtype",
                    got=dtype,
                    remedy="quantised checkpoints are not supported",
                )


def weight_files(name: str, config: Any = None) -> tuple[Path, ...]:
    """Where the weights of a folder or, with its configuration, a hub id lie."""
    if Path(name).is_dir():
        folder = Path(name)
    else:
        from transformers.utils.hub import cached_file

        folder = Path(str(cached_file(name, "config.json", revision=config._commit_hash))).parent
    return tuple(sorted(folder.glob("*.safetensors")))
