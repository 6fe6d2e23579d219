"""Train everything that the package ships: `python -m gemma_circuits.pocket.train --out DIR`.

The model first; then, on the model as stored, the three dictionaries; then every figure of the model card, from the
files as stored. Seeds and the number of threads are fixed: the same machine gives the same bits.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch

from gemma_circuits.pocket import CLT, MODEL, SKIP_TRANSCODER, TRANSCODER, WEIGHTS, card, files, teach
from gemma_circuits.pocket.dictionaries import Plan, train
from gemma_circuits.pocket.measure import collect

PLANS = {
    "clt": Plan(cross_layer=True, affine=False, steps=3000),
    "transcoder": Plan(cross_layer=False, affine=False),
    "skip-transcoder": Plan(cross_layer=False, affine=True),
}


def main(arguments: list[str] | None = None) -> None:
    """Train, write, measure what was written, and say so in the model card."""
    parser = argparse.ArgumentParser(prog="python -m gemma_circuits.pocket.train", description=main.__doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder to write (default: the package's own)")
    parser.add_argument("--steps", type=int, default=1200, help="training steps of the model; 0 keeps the one in --out")
    parser.add_argument("--dictionary-steps", type=int, help="training steps of each dictionary (default: its plan)")
    parser.add_argument("--sentences", type=int, default=5000, help="sentences that the dictionaries are trained on")
    parser.add_argument("--held-out", type=int, default=1024, help="sentences that everything is measured on")
    parser.add_argument("--swaps", type=int, default=240, help="random swaps that are tried")
    options = parser.parse_args(arguments)
    torch.set_num_threads(2)
    at = lambda path: options.out / path.relative_to(WEIGHTS)  # noqa: E731
    start = time.time()

    if options.steps:
        tok = teach.make_tokenizer()
        teach.save_model(teach.train_model(tok, options.steps), tok, at(MODEL))
    model, tok = teach.load_model(at(MODEL))
    turn = tok.convert_tokens_to_ids("<start_of_turn>")
    batches = [ids for ids, _ in teach.sample(tok, options.sentences, seed=1, held_out=False)]
    x, y = collect(model, batches, tok.pad_token_id, turn, copies=16)
    for name, plan in PLANS.items():
        print(f"{name}: {x.shape[1]} positions, {plan}", flush=True)
        found = train(x, y, replace(plan, steps=options.dictionary_steps or plan.steps), log=500)
        if name == "clt":
            files.write_clt(found, at(CLT), sum(plan.targets) / len(plan.targets))
        else:
            files.write_single(found, str(at(SKIP_TRANSCODER if plan.affine else TRANSCODER)), list(plan.targets))
    print(f"trained in {(time.time() - start) / 60:.0f} minutes")
    card.write(options.out, model, tok, options.held_out, options.swaps)


if __name__ == "__main__":
    main()
