"""The pocket model: a tiny Gemma 3 with known circuits, shipped inside the package.

Nothing is imported here; the four paths are all that `gemma_circuits.load()` needs.
"""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of everything shipped; laid out as the hub repositories of Gemma and Gemma Scope 2 are."""

MODEL = WEIGHTS / "model"
"""The `Gemma3ForCausalLM` with its tokenizer, chat template and model card (`README.md`)."""

CLT = WEIGHTS / "clt" / "width_3k_l0_medium"
"""The cross-layer transcoder, Gemma Scope 2 layout: `config.json`, `params_layer_{i}.safetensors`."""

TRANSCODER = WEIGHTS / "transcoder_all" / "layer_{L}_width_512_l0_small"
"""The per-layer transcoders; put the layer in with `str(TRANSCODER).format(L=3)`."""

SKIP_TRANSCODER = WEIGHTS / "transcoder_all" / "layer_{L}_width_512_l0_small_affine"
"""The per-layer transcoders with an affine skip, likewise."""

__all__ = ["CLT", "MODEL", "SKIP_TRANSCODER", "TRANSCODER", "WEIGHTS"]
