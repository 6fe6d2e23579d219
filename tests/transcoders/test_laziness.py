"""A CLT of Gemma 3 270m's size opens at once and in little memory: its files are sparse here, their sizes are not."""

import json
import math
import struct
import subprocess
import sys

import pytest
import torch
from dictionaries import gemma_scope_2_config
from safetensors.torch import save_file

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


READING = """
import json, sys
from pathlib import Path
import torch
from safetensors.torch import load_file
from gemma_circuits.transcoders import open_transcoder

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 2**10

clt = open_transcoder(sys.argv[1])
features = torch.arange(0, clt.n_features, 37)
before = peak()
rows = clt.decoder(1, features)
grown = peak() - before
whole = load_file(Path(sys.argv[1]) / "params_layer_1.safetensors")["w_dec"]
print(json.dumps({"grown": grown, "rows": rows.nbytes / 2**20, "equal": torch.equal(rows, whole[features, 1:])}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads resident memory from /proc")
def test_scattered_decoder_rows_make_nothing_else_resident(tmp_path):
    """Also where the file lies in the page cache: the kernel then maps megabytes around every page that is touched."""
    folder = tmp_path / "clt/width_32k_l0_medium"
    folder.mkdir(parents=True)
    gemma_scope_2_config(folder, width=2 * 16384)
    for layer in range(2):
        tensors = {"w_enc": torch.randn(1024, 16384), "w_dec": torch.randn(16384, 2, 1024)}
        tensors |= {name: torch.zeros(16384) for name in ("b_enc", "threshold")} | {"b_dec": torch.zeros(1024)}
        save_file(tensors, folder / f"params_layer_{layer}.safetensors")
    run = subprocess.run([sys.executable, "-c", READING, folder], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    assert found["equal"]
    assert found["grown"] < 3 * found["rows"] + 4  # of a decoder of 128 MiB
