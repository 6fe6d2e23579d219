"""Does a state's supernode carry its capital? Swaps between cities of all fifty states, on the pocket model.

One city of each state is drawn, and asked for: "The capital of the state containing CITY is". Its supernode is chosen
without it and without the other fifty drawn cities, by contrast between the remaining cities of its state and those
of the others. In each of the fifty prompts, the supernodes of ten other states take the place of its own, at once and
twice their activation at their own city. Prints how often the other state's capital is then the likeliest token,
with a 95% interval, and the same for as many other features that fire at the same places.

    python benchmarks/swaps.py
"""

from __future__ import annotations

import argparse
import random

import torch

import gemma_circuits as gmc
from gemma_circuits import pocket
from gemma_circuits.pocket import corpus, files, swaps, teach

REQUIRED, JUDGED = 0.8, {"mode": "open", "strength": 2.0}
"""Share of swaps that must give the other capital, and in which setting: the one of the pocket model's card."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=10, help="other states for each city (default: %(default)s)")
    parser.add_argument("--size", type=int, default=swaps.SIZE, help="features in a supernode (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="draws cities, states and the null (default: %(default)s)")
    parser.add_argument("--figure", metavar="FILE", help="write the table as a picture (needs kaleido)")
    args = parser.parse_args()

    model, drawn = gmc.load(), drawn_cities(args.seed)
    cases, pairs = found_cases(model, drawn, args.size), drawn_pairs(drawn, args.sources, args.seed)
    null = random_cases(model, cases, args.seed)
    print(f"{len(cases)} cities x {args.sources} other states, {args.size} features a state, seed {args.seed}")
    done = {}
    for mode in ("frozen-attention", "open"):
        for strength in (1.0, 2.0):
            found, control = (
                gmc.swap(model, c, pairs, strength=strength, mode=mode, progress=False) for c in (cases, null)
            )
            done[mode, strength] = found
            print(f"{mode}, strength {strength:g}: other capital in {found.rate}; other features {control.rate}")
    judged = done[JUDGED["mode"], JUDGED["strength"]]
    print(
        f"required: {REQUIRED:.0%} of all ({JUDGED['mode']}, strength {JUDGED['strength']:g}): {judged.rate.share:.1%}"
    )
    if args.figure:
        judged.figure(width="double").write_image(args.figure)
    raise SystemExit(judged.rate.share < REQUIRED)


def drawn_cities(seed: int) -> dict[str, str]:
    """A city of each state that has another one to learn its supernode from, by state."""
    rng = random.Random(seed)
    return {state: rng.choice(fact["cities"]) for state, fact in corpus.facts()["states"].items()}


def drawn_pairs(drawn: dict[str, str], count: int, seed: int) -> list[tuple[str, str]]:
    """(base, source): for each state so many others."""
    rng = random.Random(seed)
    return [(base, source) for base in drawn for source in rng.sample([s for s in drawn if s != base], count)]


def found_cases(model: gmc.ReplacementModel, drawn: dict[str, str], size: int) -> dict[str, gmc.SwapCase]:
    """A case of each state, its supernode found without any of the drawn cities."""
    network, tokenizer = teach.load_model(pocket.MODEL)
    features = swaps.city_features(network, files.read_clt(pocket.CLT), tokenizer)
    cases, held = {}, set(drawn.values())
    for state, city in drawn.items():
        assert features.members(state, held).any()
        places, _ = features.supernode(state, held, size)
        width = model.transcoder.n_features
        nodes = [(place // width, -2, place % width) for place in places.tolist()]
        prompt = corpus.QUESTIONS["capital"].format(city)
        cases[state] = gmc.SwapCase(prompt, gmc.Supernode(state, nodes), corpus.answer(state, "capital"))
    return cases


def random_cases(model: gmc.ReplacementModel, cases: dict[str, gmc.SwapCase], seed: int) -> dict[str, gmc.SwapCase]:
    """The same cases with as many features that fire there, drawn among those outside of the supernode."""
    rng, out = random.Random(seed), {}
    for state, case in cases.items():
        own = {(layer, feature) for layer, _, feature in case.node.nodes}
        some = gmc.intervene(model, case.prompt, gmc.Ablate(case.node), measure="all").baseline_activations
        active = [tuple(x) for x in some[: swaps.CITY_LAYERS, -2].nonzero().tolist() if tuple(x) not in own]
        chosen = rng.sample(active, min(len(own), len(active)))
        nodes = gmc.Supernode(f"random for {state}", [(layer, -2, feature) for layer, feature in chosen])
        out[state] = gmc.SwapCase(case.prompt, nodes, case.answer)
    return out


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
