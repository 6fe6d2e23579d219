"""How long it takes until work can begin: importing the package, opening the pocket model, tracing the first prompt.

Also opening a CLT of 18 files and 12 GB, in Gemma Scope 2's layout: zeros, that take no room on the disk.

`load` leaves the pocket model's network to its first use, so that the first graph pays for importing transformers.
Beside it, in the same run, what the libraries take by themselves: importing torch, and opening the same folder with
transformers alone.

    python benchmarks/startup.py --runs 5
"""

from __future__ import annotations

import argparse
import json
import math
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

BEFORE = "import time; start = time.perf_counter()"
AFTER = "print(time.perf_counter() - start)"
TRACE = "gmc.attribute(gmc.load(), 'The capital of the state containing Dallas is', progress=False)"
FOLDER = "from gemma_circuits.pocket import MODEL"
LAYERS, FEATURES, D = 18, 14560, 640
SHAPES = {
    "w_enc": (D, FEATURES),
    "w_dec": (FEATURES, LAYERS, D),
    "b_enc": (FEATURES,),
    "b_dec": (D,),
    "threshold": (FEATURES,),
    "affine_skip_connection": (D, D),
}
STEPS = {
    "import gemma_circuits": (BEFORE, "import gemma_circuits", AFTER),
    "gmc.load(), first time": ("import gemma_circuits as gmc", BEFORE, "gmc.load()", AFTER),
    "gmc.load(), again": ("import gemma_circuits as gmc; gmc.load()", BEFORE, "gmc.load()", AFTER),
    "opening a CLT of 12 GB": (
        "import sys, gemma_circuits.transcoders as transcoders",
        BEFORE,
        "transcoders.open_transcoder(sys.argv[1])",
        AFTER,
    ),
    "load and first graph": ("import gemma_circuits as gmc", BEFORE, TRACE, AFTER),
    "import torch": (BEFORE, "import torch", AFTER),
    "transformers alone": (
        FOLDER,
        BEFORE,
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "AutoTokenizer.from_pretrained(MODEL); AutoModelForCausalLM.from_pretrained(MODEL)",
        AFTER,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="of each, in turn (default: %(default)s)")
    args = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name in STEPS}
    with tempfile.TemporaryDirectory() as temporary:
        make_clt(folder := Path(temporary) / "clt" / "width_262k_l0_medium_affine")
        for _ in range(args.runs):
            for name, lines in STEPS.items():
                command = [sys.executable, "-c", "\n".join(lines), str(folder)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found[name].append(float(done.stdout))
    for name, seconds in found.items():
        print(f"{name:24} {median(seconds):6.2f} s  ({min(seconds):.2f} to {max(seconds):.2f})")
    for part, whole in (("import torch", "gmc.load(), first time"), ("transformers alone", "load and first graph")):
        print(f"{part!r} is {median(found[part]) / median(found[whole]):.0%} of {whole!r}")


def make_clt(folder: Path, dtype: str = "F32", itemsize: int = 4, model_name: str = "google/gemma-3-270m-pt") -> None:
    """Files whose headers and sizes are those of Gemma 3 270m's CLT, all zeros."""
    folder.mkdir(parents=True)
    hook = "model.layers.{{all}}.{}_feedforward_layernorm.output"
    config = {"hf_hook_point_in": hook.format("pre"), "hf_hook_point_out": hook.format("post")}
    config |= {"type": "clt", "architecture": "jump_relu", "affine_connection": True, "width": LAYERS * FEATURES}
    (folder / "config.json").write_text(json.dumps(config | {"l0": 50, "model_name": model_name}))
    header, end = {}, 0
    for name, shape in SHAPES.items():
        start, end = end, end + itemsize * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    for layer in range(LAYERS):
        with (folder / f"params_layer_{layer}.safetensors").open("wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            file.truncate(8 + len(text) + end)


if __name__ == "__main__":
    main()
