"""What differs between the supported architectures: one small frozen record each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..data.errors import UnsupportedModelError


@dataclass(frozen=True)
class Architecture:
    """Where a decoder's parts are found and how its norms are parametrised.

    Every layer is `mid = x + out_norm(attention(in_norm(x)))`, then `y = mid + mlp_out_norm(mlp(mlp_norm(mid)))`;
    architectures without output norms have None there.
    """

    name: str
    decoder: str
    """Path from the Hugging Face model to the text decoder (whose children are `layers` and `norm`)."""
    attention_out_norm: str | None
    """Norm of the attention block's output."""
    mlp_norm: str
    """Norm in front of the MLP."""
    mlp_out_norm: str | None
    """Norm of the MLP's output."""
    gain_offset: float
    """RMSNorm multiplies by `gain_offset + weight`."""
    attention_norm: str = "input_layernorm"
    """Norm in front of attention."""
    chat_prefix: str | None = None
    """How a chat prompt begins; dictionaries ignore these positions in instruction-tuned models."""

    @property
    def mlp_out(self) -> str:
        """The module whose output the MLP block adds to the residual stream."""
        return self.mlp_out_norm or "mlp"


_GEMMA = {
    "attention_out_norm": "post_attention_layernorm",
    "mlp_norm": "pre_feedforward_layernorm",
    "mlp_out_norm": "post_feedforward_layernorm",
    "gain_offset": 1.0,
}
_LLAMA = {
    "attention_out_norm": None,
    "mlp_norm": "post_attention_layernorm",
    "mlp_out_norm": None,
    "gain_offset": 0.0,
}
_GEMMA_3_CHAT = "<bos><start_of_turn>user\n"

ARCHITECTURES: dict[str, Architecture] = {
    "gemma2": Architecture("Gemma 2", "model", **_GEMMA),
    "gemma3_text": Architecture("Gemma 3 text", "model", chat_prefix=_GEMMA_3_CHAT, **_GEMMA),
    "gemma3": Architecture("Gemma 3", "model.language_model", chat_prefix=_GEMMA_3_CHAT, **_GEMMA),
    "llama": Architecture("Llama", "model", **_LLAMA),
    "qwen3": Architecture("Qwen 3", "model", **_LLAMA),
}
"""By `model_type` of the checkpoint's `config.json`."""


def architecture_of(config: Any) -> Architecture:
    """Look up the record of a Hugging Face configuration.

    Raises:
        UnsupportedModelError: there is none, or its attention has biases, which have no node in a graph.
    """
    found = ARCHITECTURES.get(config.model_type)
    if found is None:
        raise UnsupportedModelError(
            f"model type {config.model_type!r}",
            expected="one of " + ", ".join(ARCHITECTURES),
            remedy="add a record to gemma_circuits/models/architecture.py",
        )
    if getattr(config.get_text_config(), "attention_bias", False):
        raise UnsupportedModelError(
            f"{found.name} config", expected="attention_bias = false", got="attention_bias = true"
        )
    return found
