"""A language model together with the transcoder that stands in for its MLPs."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..data.errors import MismatchError
from ..transcoders import Transcoder, fingerprint
from ..transcoders.protocol import Site
from .architecture import Architecture, architecture_of
from .capture import Capture, capture
from .opened import remember
from .prompt import Prompt, PromptLike, tokenize


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


class Network(NamedTuple):
    """A language model, opened."""

    module: Any
    """The Hugging Face model, with eager attention."""
    tokenizer: Any
    architecture: Architecture
    envoy: Any
    """The model as nnsight wraps it."""

    @classmethod
    def of(cls, module: Any, tokenizer: Any) -> Network:
        """Look up the architecture and wrap the model.

        Raises:
            UnsupportedModelError: an architecture without a record.
        """
        from nnsight import TransformersModel  # takes time to import, which `import gemma_circuits` should not

        architecture = architecture_of(module.config)
        return cls(
            module, tokenizer, architecture, TransformersModel(module, tokenizer=tokenizer, task="text-generation")
        )

    @property
    def decoder(self) -> Any:
        """The text decoder."""
        return operator.attrgetter(self.architecture.decoder)(self.module)


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
        self._network: Network | Callable[[], tuple[Any, Any]] = Network.of(model, tokenizer)
        check_fit(transcoder, model.config, name)
        self._start(transcoder, name, files)

    @classmethod
    def opened_by_use(
        cls, network: Callable[[], tuple[Any, Any]], transcoder: Transcoder, *, name: str, files: tuple[Path, ...]
    ) -> ReplacementModel:
        """One whose network and tokenizer are opened when something first asks for them.

        Only for files known to be whole and to fit: what is wrong with them would be told late.
        """
        model = cls.__new__(cls)
        model._network = network
        model._start(transcoder, name, files)
        return model

    def _start(self, transcoder: Transcoder, name: str, files: tuple[Path, ...]) -> None:
        self.transcoder, self.name, self._files = transcoder, name, files
        self.lock = threading.RLock()
        self.opened_as: tuple[str, ...] | None = None
        """What `load` was told of model and transcoder, so that code can open them again; None if it was not `load`."""
        remember(self)

    @property
    def network(self) -> Network:
        """The language model and what belongs to it."""
        if not isinstance(self._network, Network):
            with self.lock:
                if not isinstance(self._network, Network):  # nobody else was faster
                    self._network = Network.of(*self._network())
        return self._network

    @property
    def module(self) -> Any:
        """The Hugging Face model."""
        return self.network.module

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer."""
        return self.network.tokenizer

    @property
    def architecture(self) -> Architecture:
        """Its record."""
        return self.network.architecture

    @property
    def config(self) -> Any:
        """The configuration of its text decoder."""
        return self.module.config.get_text_config()

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
        return self._gain(self.network.decoder.norm)

    def layer(self, index: int) -> LayerWeights:
        """The weights of one layer that linear paths pass through."""
        module, record = self.network.decoder.layers[index], self.architecture
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
            return capture(self.network.envoy, self.architecture, self.config, token_ids)

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
