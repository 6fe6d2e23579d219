"""Where Neuronpedia shows the features of released dictionaries.

The ids are those that SAELens 6.54 lists (`pretrained_saes.yaml`, MIT licence) for Gemma Scope 2. Dictionaries of other
sparsities have no page there, nor do cross-layer transcoders.
"""

from __future__ import annotations

import re

_SCOPE_2 = re.compile(
    r"google/gemma-scope-2-(?P<size>\w+)-(?P<stage>pt|it)/"
    r"(?:resid_post/(?:layer_\d+_)?width_(?P<res>16k|65k|262k|1m)_l0_medium"
    r"|transcoder_all/(?:layer_\d+_)?width_(?P<transcoder>16k|262k)_l0_small_affine)/?"
)
_RESIDUAL = {f"{size}-pt": ("16k", "65k", "262k", "1m") for size in ("270m", "1b", "4b", "12b")} | {
    **{f"{size}-it": ("16k", "65k", "262k") for size in ("270m", "1b", "4b")},
    "27b-it": ("16k", "65k", "262k", "1m"),
}
_TRANSCODERS = {"4b-it": ("16k", "262k"), "27b-it": ("262k",)}
_SOME_LAYERS = {("4b-it", "16k"): (0, 1, 2, 3, 4, 6, 7, 9, 10, 12)}
"""Of per-layer transcoders that are not shown in all layers."""


def neuronpedia_source(transcoder: str, layer: int) -> tuple[str, str] | None:
    """Model and source id of a dictionary's layer on Neuronpedia; None where it is not shown.

    Example:
        >>> neuronpedia_source("google/gemma-scope-2-4b-it/transcoder_all/width_16k_l0_small_affine", 7)
        ('gemma-3-4b-it', '7-gemmascope-2-transcoder-16k')
    """
    found = _SCOPE_2.fullmatch(transcoder)
    if not found:
        return None
    model = f"{found['size']}-{found['stage']}"
    site, width = ("res", found["res"]) if found["res"] else ("transcoder", found["transcoder"])
    shown = (_RESIDUAL if found["res"] else _TRANSCODERS).get(model, ())
    if width not in shown or (site == "transcoder" and layer not in _SOME_LAYERS.get((model, width), (layer,))):
        return None
    return f"gemma-3-{model.removesuffix('-pt')}", f"{layer}-gemmascope-2-{site}-{width}"
