"""A language model together with the transcoder that stands in for its MLPs, and `load`, which opens both."""

from __future__ import annotations

import gc
import operator
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..data.errors import ArgumentError, MismatchError
from ..transcoders import StoredTranscoder, Transcoder, fingerprint, open_transcoder, recommended
from ..transcoders.protocol import Site
from .architecture import Architecture, architecture_of
from .capture import Capture, capture
from .opened import remember
from .prompt import Prompt, PromptLike, tokenize
from .weights import open_checkpoint, open_config

POCKET = "gemma-circuits/pocket"
"""Name of the model that ships with this package."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class MismatchWarning(UserWarning):
    """A transcoder whose files record another model than the one it is used on."""


class LayerWeights(NamedTuple):
    """The weights of one layer that attribution's linear paths pass through, in the model's dtype (gains: float32)."""

    value: Tensor
    """(kv_heads * head_dim, d)."""
    output: Tensor
    """(d, heads * head_dim)."""
    attention_gain: Tensor
    """(d,): of the norm before attention, offset included."""
    attention_out_gain: Tensor | None
    """(d,): of the norm after attention; None where there is none."""
    mlp_gain: Tensor
    """(d,): of the norm before the MLP."""


class ReplacementModel:
    """A model, its tokenizer, and a transcoder that fits it.

    Threads may share one: every use of the underlying model goes through one lock.

    Args:
        model: Hugging Face causal language model with eager attention.
        tokenizer: its tokenizer.
        transcoder: the dictionary.
        name: what to call the model: a hub id or a folder's name.
        files: the model's weight files, for the fingerprint.

    Raises:
        MismatchError: the transcoder's width or layers are not the model's.
        UnsupportedModelError: an architecture without a record.
    """

    def __init__(
        self, model: Any, tokenizer: Any, transcoder: Transcoder, *, name: str, files: tuple[Path, ...] = ()
    ) -> None:
        from nnsight import TransformersModel

        self.architecture: Architecture = architecture_of(model.config)
        self.tokenizer, self.transcoder, self.name = tokenizer, transcoder, name
        self.config = model.config.get_text_config()
        self.lock = threading.RLock()
        self.opened_as: tuple[str, ...] | None = None
        """What `load` was told of model and transcoder, so that code can open them again; None if it was not `load`."""
        self._files = files
        self.envoy = TransformersModel(model, tokenizer=tokenizer, task="text-generation")
        self.module = model
        self._decoder = operator.attrgetter(self.architecture.decoder)(model)
        check_fit(transcoder, model.config, name)
        remember(self)

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return self.config.num_hidden_layers

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.config.hidden_size

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        return self.unembedding.shape[0]

    @property
    def context(self) -> int:
        """The longest prompt, in tokens."""
        return self.config.max_position_embeddings

    @property
    def dtype(self) -> torch.dtype:
        """Of the model's weights."""
        return self.unembedding.dtype

    @property
    def device(self) -> torch.device:
        """Where the last layer lives."""
        return self.unembedding.device

    @property
    def unembedding(self) -> Tensor:
        """(vocabulary, d), in the model's dtype."""
        return self.module.lm_head.weight

    @cached_property
    def mean_unembedding(self) -> Tensor:
        """(d,) float32: mean of the unembedding's rows."""
        # In blocks, so that a bfloat16 unembedding is not widened as a whole.
        return torch.stack([rows.float().sum(0) for rows in self.unembedding.split(16384)]).sum(0) / self.vocabulary

    @cached_property
    def final_gain(self) -> Tensor:
        """(d,) float32: of the final norm, offset included."""
        return self._gain(self._decoder.norm)

    def layer(self, index: int) -> LayerWeights:
        """The weights of one layer that linear paths pass through."""
        module, record = self._decoder.layers[index], self.architecture
        return LayerWeights(
            module.self_attn.v_proj.weight,
            module.self_attn.o_proj.weight,
            self._gain(getattr(module, record.attention_norm)),
            self._gain(getattr(module, record.attention_out_norm)) if record.attention_out_norm else None,
            self._gain(getattr(module, record.mlp_norm)),
        )

    def prompt(self, prompt: PromptLike) -> Prompt:
        """Tokenise a string, chat messages or token ids as this model sees them.

        Raises:
            EmptyPromptError, PromptTooLongError, PromptError: the prompt cannot be traced.
        """
        return tokenize(
            prompt,
            self.tokenizer,
            context=self.context,
            vocabulary=self.vocabulary,
            chat_prefix=self.architecture.chat_prefix,
        )

    def capture(self, token_ids: tuple[int, ...]) -> Capture:
        """One forward pass; see `Capture`.

        Raises:
            NotFiniteError: the model computes NaN or infinity.
        """
        with self.lock:
            return capture(self.envoy, self.architecture, self.config, token_ids)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of the model's weight files; empty for a model that was not opened from files."""
        return fingerprint(self._files) if self._files else ""

    @property
    def metadata(self) -> dict[str, Any]:
        """What graphs, reports and figures say of it and its transcoder: names, hashes, dtype."""
        return {
            "model": self.name,
            "model_hash": self.fingerprint,
            "dtype": str(self.dtype).removeprefix("torch."),
            "transcoder": self.transcoder.source,
            "transcoder_hash": self.transcoder.fingerprint(),
            "transcoder_kind": self.transcoder.kind,
        }

    def _gain(self, norm: Any) -> Tensor:
        return self.architecture.gain_offset + norm.weight.float()

    def __repr__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return (
            f"ReplacementModel({self.name}: {self.architecture.name}, {self.n_layers} layers, d {self.d_model}, "
            f"{dtype} on {self.device})\n  {self.transcoder!r}"
        )


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for garbage: importing libraries makes none, and looking takes a tenth of the first `load`."""
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
    folder = _pocket("model") if name == POCKET else where
    config = open_config(folder)
    check_fit(transcoder, config, name)  # before gigabytes of weights are read
    _warn_of_other_name(transcoder.model_name, where)
    network, tokenizer, weights = open_checkpoint(folder, config, device, dtype)
    if device != "cpu" and isinstance(transcoder, StoredTranscoder):
        _hold_encoders(transcoder, network.lm_head.weight.device)
    opened = ReplacementModel(network, tokenizer, transcoder, name=name, files=weights)
    if given is None or isinstance(given, str | Path):
        opened.opened_as = tuple(str(part) for part in (model, given) if part is not None)
    return opened


def _hold_encoders(transcoder: StoredTranscoder, device: torch.device) -> None:
    """Keep encoders on the accelerator where they take less than half of what is free there."""
    size = sum(tensors.w_enc.nbytes for tensors in map(transcoder.tensors, transcoder.layers))
    if device.type == "cuda" and size < torch.cuda.mem_get_info(device)[0] / 2:
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


def check_fit(transcoder: Transcoder, config: Any, name: str) -> None:
    """Refuse a transcoder whose width or layers are not those of the model with this configuration.

    Raises:
        MismatchError: they are not.
    """
    text = config.get_text_config()
    place = f"transcoder {transcoder.source} on {name}"
    remedy = "is it a release for another size of the model?"
    heads = text.num_attention_heads * (text.head_dim or text.hidden_size // text.num_attention_heads)
    width = heads if transcoder.reads == Site.ATTN_OUT else text.hidden_size
    for what, found in (("input width", transcoder.d_in), ("output width", transcoder.d_out)):
        if found != width:
            raise MismatchError(place, expected=f"{what} {width}", got=str(found), remedy=remedy)
    layers, count = transcoder.layers, text.num_hidden_layers
    if layers[-1] >= count or (transcoder.kind == "clt" and len(layers) != count):
        raise MismatchError(
            place, expected=f"{count} layers", got=f"{len(layers)}, up to layer {layers[-1]}", remedy=remedy
        )


def _warn_of_other_name(recorded: str | None, where: str | Path) -> None:
    if recorded and Path(recorded).name.lower() not in {part.lower() for part in Path(where).parts}:
        warnings.warn(
            f"the transcoder was trained on {recorded}, and is used here on {Path(where).name}",
            MismatchWarning,
            stacklevel=4,
        )
