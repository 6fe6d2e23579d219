"""How long it takes until work can begin: importing the package, opening the pocket model, tracing the first prompt.

`load` leaves the pocket model's network to its first use, so that the first graph pays for importing transformers.
Beside it, in the same run, what the libraries take by themselves: importing torch, and opening the same folder with
transformers alone.

    python benchmarks/startup.py --runs 5
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from statistics import median

BEFORE = "import time; start = time.perf_counter()"
AFTER = "print(time.perf_counter() - start)"
TRACE = "gmc.attribute(gmc.load(), 'The capital of the state containing Dallas is', progress=False)"
FOLDER = "from gemma_circuits.pocket import MODEL"
STEPS = {
    "import gemma_circuits": (BEFORE, "import gemma_circuits", AFTER),
    "gmc.load(), first time": ("import gemma_circuits as gmc", BEFORE, "gmc.load()", AFTER),
    "gmc.load(), again": ("import gemma_circuits as gmc; gmc.load()", BEFORE, "gmc.load()", AFTER),
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
    for _ in range(args.runs):
        for name, lines in STEPS.items():
            done = subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, capture_output=True, text=True)
            found[name].append(float(done.stdout))
    for name, seconds in found.items():
        print(f"{name:24} {median(seconds):6.2f} s  ({min(seconds):.2f} to {max(seconds):.2f})")
    for part, whole in (("import torch", "gmc.load(), first time"), ("transformers alone", "load and first graph")):
        print(f"{part!r} is {median(found[part]) / median(found[whole]):.0%} of {whole!r}")


if __name__ == "__main__":
    main()
