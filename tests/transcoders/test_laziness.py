"""A CLT of Gemma 3 270m's size opens at once and in little memory: its files are sparse here, their sizes are not."""

import json
import math
import struct
import subprocess
import sys

import pytest
from dictionaries import gemma_scope_2_config

LAYERS, FEATURES, D = 18, 14560, 640
SHAPES = {
    "w_enc": (D, FEATURES),
    "w_dec": (FEATURES, LAYERS, D),
    "b_enc": (FEATURES,),
    "b_dec": (D,),
    "threshold": (FEATURES,),
    "affine_skip_connection": (D, D),
}
PROGRAM = """
import json, sys, time
from pathlib import Path
import torch
from gemma_circuits.transcoders import open_transcoder

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

x = torch.zeros(8, 640) @ torch.zeros(640, 64)
before, start = resident(), time.perf_counter()
clt = open_transcoder(sys.argv[1])
opened, seconds = resident() - before, time.perf_counter() - start
for layer in clt.layers:
    rows = clt.decoder(layer, torch.arange(0, clt.n_features, 500))
decoded = resident() - before
clt.encode(3, torch.zeros(8, 640))
print(json.dumps({"repr": repr(clt), "rows": list(rows.shape), "opened": opened, "seconds": seconds,
                  "decoded": decoded, "encoded": resident() - before}))
start = time.perf_counter()
clt.fingerprint()
print(json.dumps({"seconds": time.perf_counter() - start, "fingerprinted": resident() - before}))
"""


def write_sparse(path, dtype, itemsize):
    """A safetensors file of zeros that takes no room: a header, and a length."""
    header, end = {}, 0
    for name, shape in SHAPES.items():
        start = end
        end += itemsize * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return 8 + len(text) + end


@pytest.mark.skipif(sys.platform != "linux", reason="reads resident memory from /proc")
@pytest.mark.parametrize(("dtype", "itemsize"), [("F32", 4), ("BF16", 2)])
def test_a_clt_of_12_gb_opens_under_2_seconds_and_300_mb(tmp_path, dtype, itemsize):
    folder = tmp_path / "clt/width_262k_l0_medium_affine"
    folder.mkdir(parents=True)
    gemma_scope_2_config(folder, affine_connection=True, width=LAYERS * FEATURES)
    sizes = [write_sparse(folder / f"params_layer_{i}.safetensors", dtype, itemsize) for i in range(LAYERS)]
    assert sum(sizes) > 3e9 * itemsize
    run = subprocess.run([sys.executable, "-c", PROGRAM, folder], capture_output=True, text=True, check=True)
    opened, hashed = map(json.loads, run.stdout.splitlines())
    print(opened, hashed)
    assert opened["repr"].startswith("CLT of 18 layers x 14,560 features (JumpReLU, affine skip), d 640")
    assert opened["rows"] == [30, 1, 640]
    assert opened["seconds"] < 2
    assert opened["opened"] < 100
    assert max(opened["decoded"], opened["encoded"], hashed["fingerprinted"]) < 300
