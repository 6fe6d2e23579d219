"""Is the circuit real? Take a state's features away, or put another state's in their place, and read the capital.

A state's supernode is found by contrast on single-hop prompts of its other cities ("The state containing Houston
is"), the city under test left out, and used on the two-hop prompt ("The capital of the state containing Dallas is").
"""

import random
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from gemma_circuits.pocket import corpus
from gemma_circuits.pocket.dictionaries import Dictionary
from gemma_circuits.pocket.measure import hooked, record

CITY_LAYERS = 3
"""Layers below the first one whose attention looks around: there a city's features are the same in any prompt."""
SIZE = 8
"""Features in a supernode."""


@dataclass(frozen=True)
class CityFeatures:
    """Activations of all cities' features at their own position, in the layers before information moves."""

    cities: list[str]
    activations: Tensor
    """(cities, CITY_LAYERS, F)"""
    norms: Tensor
    """(CITY_LAYERS, F): length of what a feature writes, as the first attention that looks around reads it."""

    def members(self, state: str, without: Collection[str] = ()) -> Tensor:
        """Rows (cities,) of `state`, those in `without` left out, as booleans."""
        home = corpus.state_of()
        return torch.tensor([home[c] == state and c not in without for c in self.cities])

    def supernode(self, state: str, without: Collection[str] = (), size: int = SIZE) -> tuple[Tensor, Tensor]:
        """Places `(size,)` in the flattened (layer, feature) order of the features that tell `state` from others,
        and their mean activations `(size,)` over its cities; cities in `without` are not looked at.

        Contrast: mean activation in the state minus mean in the others, times `norms`.
        """
        inside = self.members(state, without)
        outside = ~self.members(state) & torch.tensor([c not in without for c in self.cities])
        mean = self.activations[inside].mean(0)
        contrast = (mean - self.activations[outside].mean(0)) * self.norms
        best = contrast.flatten().topk(size).indices
        return best, mean.flatten()[best]


@torch.no_grad()
def city_features(model, dictionary: Dictionary, tok) -> CityFeatures:
    """Encode every city in "The state containing CITY is"."""
    cities = list(corpus.state_of())
    ids = tok([corpus.SINGLE_HOPS[1].format(c) for c in cities], return_tensors="pt").input_ids
    x, _, _ = record(model, ids, logits=False)
    activations = torch.stack([dictionary.encode(x[k, :, -2], k) for k in range(CITY_LAYERS)], 1)
    gain = 1 + model.model.layers[CITY_LAYERS].input_layernorm.weight
    written = dictionary.w_dec[:CITY_LAYERS, :, :CITY_LAYERS].sum(2)
    return CityFeatures(cities, activations, (written * gain).norm(dim=-1))


@torch.no_grad()
def spliced(
    model,
    dictionary: Dictionary,
    ids: Tensor,
    position: int,
    new: Tensor,
    likeness: Tensor | None = None,
    frozen: bool = False,
) -> Tensor:
    """Logits `(B, vocabulary)` at the end with features of the first layers set at one position.

    Args:
        new: (B, CITY_LAYERS, F) values to set, NaN where a feature is left alone.
        likeness: (B, CITY_LAYERS, F) the null: the feature of the same layer in whose direction each change is written
            instead, at equal length. None: its own.
        frozen: keep the MLP outputs of the first layers at their baseline, let the changes land there and nowhere
            else (constrained patching), so that what the layers do about a change is not counted twice. Otherwise
            everything is recomputed, and the change is relative to the current activation. Attention is recomputed
            in both.
    """
    w_dec = dictionary.w_dec[:CITY_LAYERS]
    norms = w_dec.flatten(2).norm(dim=-1).clamp_min(1e-9)
    baseline: list[Tensor] = []
    if frozen:
        x, base, _ = record(model, ids, logits=False)
        baseline = [dictionary.encode(x[k, :, position], k) for k in range(CITY_LAYERS)]
    deltas: list[Tensor] = []

    def rewrite(layer: int, x: Tensor, y: Tensor) -> Tensor | None:
        if layer < CITY_LAYERS:
            old = baseline[layer] if frozen else dictionary.encode(x[:, position], layer)
            delta = torch.where(new[:, layer].isnan(), old, new[:, layer]) - old
            if likeness is not None:
                other = likeness[:, layer]
                delta = torch.zeros_like(delta).scatter(1, other, delta * norms[layer] / norms[layer][other])
            deltas.append(delta)
        elif frozen:
            return None
        y = base[layer].clone() if frozen else y.clone()
        y[:, position] += sum(d @ w_dec[k, :, layer] for k, d in enumerate(deltas[: layer + 1]))
        return y

    with hooked(model, rewrite):
        return model(input_ids=ids, logits_to_keep=1).logits[:, -1]


def pairs(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Random (city, other state) pairs."""
    rng, home = random.Random(seed), corpus.state_of()
    states = list(corpus.facts()["states"])
    cities = rng.choices(list(home), k=count)
    return [(c, rng.choice([s for s in states if s != home[c]])) for c in cities]


@torch.no_grad()
def swap_rates(
    model,
    dictionary: Dictionary,
    tok,
    features: CityFeatures,
    count: int = 240,
    off: float = 0.0,
    implant: float = 1.0,
    size: int = SIZE,
    frozen: bool = False,
    null: bool = False,
    seed: int = 0,
) -> dict[str, float]:
    """Shares of random swaps, among cities whose capital the model knows.

    Args:
        features: from `city_features`.
        off: the state's own features are set to `off` times their activation.
        implant: the other state's are set to `implant` times their mean over that state's cities.
        null: do it along as many random features instead, at equal length.

    Returns:
        `removed`: features off, the capital is no longer first. `swapped`: the other state's in their place, its
        capital is first. `kept`: share of prompts answered rightly before.
    """
    home, chosen = corpus.state_of(), pairs(count, seed)
    question = corpus.QUESTIONS["capital"]
    ids = tok([question.format(c) for c, _ in chosen], return_tensors="pt").input_ids
    position = ids.shape[1] - 2
    first = lambda states: torch.tensor(  # noqa: E731
        [tok(corpus.answer(s, "capital"), add_special_tokens=False).input_ids[0] for s in states]
    )
    own, other = first(home[c] for c, _ in chosen), first(s for _, s in chosen)
    rows = [features.cities.index(c) for c, _ in chosen]
    flat = features.activations.flatten(1)
    ablated = torch.full((count, flat.shape[1]), float("nan"))
    swapped = ablated.clone()
    for i, (city, state) in enumerate(chosen):
        there, _ = features.supernode(home[city], without=(city,), size=size)
        ablated[i, there] = off * flat[rows[i], there]
        swapped[i, there] = ablated[i, there]
        here, values = features.supernode(state, size=size)
        swapped[i, here] = implant * values
    shape = (count, *features.activations.shape[1:])
    likeness = None
    if null:
        likeness = torch.rand(shape, generator=torch.Generator().manual_seed(seed)).argsort(-1)
    run = lambda new: spliced(model, dictionary, ids, position, new.view(shape), likeness, frozen).argmax(-1)  # noqa: E731
    before = model(input_ids=ids, logits_to_keep=1).logits[:, -1].argmax(-1) == own
    rate = lambda hit: hit[before].float().mean().item()  # noqa: E731
    return {
        "kept": before.float().mean().item(),
        "removed": rate(run(ablated) != own),
        "swapped": rate(run(swapped) == other),
    }
