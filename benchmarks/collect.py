"""How fast collecting examples is, and how large: random weights in the shape of Gemma 3 270m and its CLT 262k.

Prints tokens a second, peak resident memory and what lies on the disk, and what the same tokens cost in a plain forward
pass (without hooks, logits of the last position only) and in the encoders' matrix products, measured in the same run,
half before and half after. Texts are random tokens, so that every feature fires on ever new ones: the costly case.

    python benchmarks/collect.py --tokens 100000
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from attribution import SHAPES, VOCABULARY, make_model, peak, random_encoder

NAMES = {
    "forward": "forward pass",
    "encoders": "encoders' products",
    "collect": "collect",
    "commit": "  of which writing the store",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="270m")
    parser.add_argument("--tokens", type=int, default=8192, help="to collect over (default: %(default)s)")
    parser.add_argument("--context", type=int, default=128)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        figures = run(Path(temporary), args)
    tokens, base = figures["tokens"], figures["forward"] + figures["encoders"]
    print(
        f"{args.shape}, {tokens:,} tokens in contexts of {args.context}, {figures['features']:,} features, of which "
        f"{figures['fires']:.0f} fire a token"
    )
    for name in ("forward", "encoders", "collect", "commit"):
        seconds, busy = figures[name]
        print(f"  {NAMES[name]}: {seconds:.1f} s, {busy:.1f} s of processor time")
    ratio, busy = figures["collect"] / base
    print(f"  {tokens / figures['collect'][0]:,.0f} tokens/s; {ratio:.2f} times both ({busy:.2f} by processor time)")
    print(f"  peak {figures['peak'] / 2**30:.2f} GiB, {figures['before'] / 2**30:.2f} of which before collecting")
    print(f"  {figures['disk'] / 2**20:,.0f} MiB on disk")


def clock() -> np.ndarray:
    """Seconds, and seconds of processor time, which other programs on the machine disturb less."""
    return np.array([time.perf_counter(), time.process_time()])


def run(folder: Path, args: argparse.Namespace) -> dict:
    import gemma_circuits as gmc
    from gemma_circuits.features.collection import Collection
    from gemma_circuits.transcoders import Site, StoredTranscoder

    shape = SHAPES[args.shape]
    make_model(folder, layers=shape["layers"], d=shape["d"], ffn=shape["ffn"])
    layers = {}
    for layer in range(shape["layers"]):
        encoder = random_encoder(shape["d"], shape["features"])
        layers[layer] = {
            "w_enc": encoder["W_enc"].T.contiguous(),
            "b_enc": encoder["b_enc"],
            "b_dec": encoder["b_dec"],
            "threshold": encoder["threshold"],
            "w_dec": torch.zeros(1).expand(shape["features"], shape["layers"] - layer, shape["d"]),  # never read
        }
    weights = folder / "model" / "model.safetensors"
    clt = StoredTranscoder.from_tensors("clt", layers, reads=Site.MLP_IN, writes=Site.MLP_OUT, files=(weights,))
    model = gmc.load(folder / "model", clt)
    generator = torch.Generator().manual_seed(1)
    count = -(-args.tokens // (args.context - 1))
    texts = torch.randint(4, VOCABULARY, (count, args.context), generator=generator, dtype=torch.int64)
    texts[:, 0] = 2
    size = max(1, 2048 // args.context)
    spent = {"commit": np.zeros(2)}
    commit = Collection.commit

    def timed(*arguments, **keywords):
        start = clock()
        commit(*arguments, **keywords)
        spent["commit"] += clock() - start

    Collection.commit = timed
    first = measure(model, texts[: count // 2], size)
    before, start = peak(), clock()
    store = gmc.features.collect(
        model, texts, folder / "store", context=args.context, tokens=args.tokens, batch_size=size, checkpoint=1e9
    )
    collect = clock() - start
    top = peak()
    second = measure(model, texts[count // 2 :], size)
    statistics = store.statistics()
    return {
        "tokens": store.n_tokens,
        "features": len(layers) * shape["features"],
        "fires": statistics.count.sum() / store.n_tokens,
        "forward": first[0] + second[0],
        "encoders": first[1] + second[1],
        "collect": collect,
        "commit": spent["commit"],
        "peak": top,
        "before": before,
        "disk": sum(path.stat().st_size for path in (folder / "store").rglob("*") if path.is_file()),
    }


@torch.no_grad()
def measure(model, texts: torch.Tensor, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Seconds that these contexts take in a plain forward pass, and in the encoders' matrix products."""
    forward, encoders = np.zeros(2), np.zeros(2)
    for batch in texts.split(size):
        start = clock()
        model.module(batch, use_cache=False, logits_to_keep=1)
        forward += clock() - start
        x = torch.randn(batch[:, 1:].numel(), model.d_model)
        for layer in model.transcoder.layers:
            start = clock()
            x @ model.transcoder.tensors(layer).w_enc
            encoders += clock() - start
    return forward, encoders


if __name__ == "__main__":
    main()
