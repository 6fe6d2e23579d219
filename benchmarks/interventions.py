"""What interventions cost: batches of single-feature ablations on the pocket model, as multiples of one forward pass.

Every ratio is taken in one run, against a forward pass right before it: the model's own on the prompt, as Hugging
Face runs it; a plain batch of as many copies of the prompt; and a sweep of as many ablations in each mode, from the
prompt to all logits, its baseline included. Prints medians and quartiles.

    python benchmarks/interventions.py
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable

import torch

import gemma_circuits as gmc
from gemma_circuits.pocket import corpus

REQUIRED = 10.0
"""One forward passes that a batch of 64 ablations may cost."""
WARM = 3
"""First rounds, which are not counted."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64, help="ablations in a batch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    model = gmc.load()
    ids = torch.tensor([model.prompt(corpus.DEMO).token_ids])
    features = gmc.attribute(model, corpus.DEMO, progress=False).nodes.where(kind="feature")
    drawn = features[random.Random(0).sample(range(len(features)), args.batch)]
    first = features.where(layer=0)
    lowest = [first[i % len(first)] for i in range(args.batch)]

    def sweep(nodes: object, mode: str) -> Callable[[], object]:
        return lambda: gmc.sweep(
            model, corpus.DEMO, gmc.Ablate, nodes, mode=mode, batch_size=args.batch, progress=False
        )

    runs: dict[str, Callable[[], object]] = {
        "plain batch": lambda: model.module(ids.expand(args.batch, -1)),
        **{mode: sweep(drawn, mode) for mode in ("frozen-attention", "direct", "open")},
        "frozen-attention, all of layer 0": sweep(lowest, "frozen-attention"),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    forward = []
    for _ in range(WARM + args.rounds):
        for name, run in runs.items():
            forward.append(seconds(lambda: model.module(ids)))
            times[name].append(seconds(run) / forward[-1])
    print(f"one forward pass over {ids.shape[1]} tokens: {1e3 * statistics.median(forward):.1f} ms")
    print(f"{args.batch} of {len(features)} features, each ablated alone; cost in forward passes, median (quartiles):")
    medians = {}
    for name, ratios in times.items():
        low, medians[name], high = statistics.quantiles(ratios[WARM:], n=4)
        print(f"  {name}: {medians[name]:.1f} ({low:.1f} to {high:.1f})")
    worst = max(medians[mode] for mode in ("frozen-attention", "direct", "open"))
    print(f"required: below {REQUIRED:g} in every mode; largest: {worst:.1f}")
    raise SystemExit(worst >= REQUIRED)


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
