"""A CLT of Gemma 3 270m's size opens at once and in little memory: its files are sparse here, their sizes are not."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from dictionaries import gemma_scope_2_config
from random_models import random_folder
from safetensors.torch import save_file

from gemma_circuits.transcoders.weights import open_weights

SPEC = importlib.util.spec_from_file_location("startup", Path(__file__).parents[2] / "benchmarks" / "startup.py")
startup = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(startup)
LAYERS, D = startup.LAYERS, startup.D
PROGRAM = """
import json, sys
from pathlib import Path
import torch
from gemma_circuits.transcoders import open_transcoder

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

def taken_in():
    return int(Path("/proc/self/io").read_text().split()[1]) / 2**20

x = torch.zeros(8, 640) @ torch.zeros(640, 64)
before, start = resident(), taken_in()
clt = open_transcoder(sys.argv[1])
opened, read = resident() - before, taken_in() - start
for layer in clt.layers:
    rows = clt.decoder(layer, torch.arange(0, clt.n_features, 500))
decoded = resident() - before
clt.encode(3, torch.zeros(8, 640))
print(json.dumps({"repr": repr(clt), "rows": list(rows.shape), "opened": opened, "read": read,
                  "decoded": decoded, "encoded": resident() - before}))
clt.fingerprint()
print(json.dumps({"fingerprinted": resident() - before}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads resident memory from /proc")
@pytest.mark.parametrize(("dtype", "itemsize"), [("F32", 4), ("BF16", 2)])
def test_opening_a_clt_of_12_gb_reads_headers_only_and_takes_under_300_mb(tmp_path, dtype, itemsize):
    folder = tmp_path / "clt/width_262k_l0_medium_affine"
    startup.make_clt(folder, dtype, itemsize)
    assert sum(path.stat().st_size for path in folder.iterdir()) > 3e9 * itemsize
    run = subprocess.run([sys.executable, "-c", PROGRAM, folder], capture_output=True, text=True, check=True)
    opened, hashed = map(json.loads, run.stdout.splitlines())
    print(opened, hashed)
    assert opened["repr"].startswith("CLT of 18 layers x 14,560 features (JumpReLU, affine skip), d 640")
    assert opened["rows"] == [30, 1, 640]
    assert opened["read"] < 1  # how long that takes: benchmarks/startup.py
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


TRACING = """
import json, sys
from pathlib import Path
import gemma_circuits as gmc

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 2**20

model = gmc.load(sys.argv[1], sys.argv[2], device="cpu")
graph = gmc.attribute(model, [2, *range(10, 25)], max_features=1000, progress=False)
print(json.dumps({"peak": peak(), "active": graph.metadata["active_features"], "check": graph.check(),
                  "edges": float(graph.edges.abs().sum())}))
"""


def let_fire(path, count, generator):
    """Give `count` neighbouring features of a sparse file weights with which they fire everywhere."""
    offsets, own = open_weights(path).offsets, slice(7000, 7000 + count)
    for name, where, scale, shift in (
        ("w_enc", (slice(None), own), D**-0.5, 0), ("w_dec", (own,), 0.02, 0), ("b_enc", (own,), 0.1, 8)
    ):  # fmt: skip
        tensor = np.memmap(path, np.float32, "r+", offsets[name], startup.SHAPES[name])
        tensor[where] = generator.normal(shift, scale, tensor[where].shape)
        tensor.flush()


@pytest.mark.skipif(sys.platform != "linux", reason="reads resident memory from /proc")
def test_tracing_16_tokens_with_12_gb_stays_under_3_gib(tmp_path):
    """The model of true depth, width and heads; some 43 features fire at each token and layer."""
    folder, generator = tmp_path / "clt/width_262k_l0_medium_affine", np.random.default_rng(0)
    startup.make_clt(folder, model_name="google/model")
    for path in sorted(folder.glob("*.safetensors")):
        let_fire(path, 43, generator)
    model = random_folder(
        tmp_path / "model", "gemma3_text", hidden_size=D, num_hidden_layers=LAYERS, num_key_value_heads=1,
        head_dim=256, layer_types=["sliding_attention"] * LAYERS, sliding_window=512, intermediate_size=2048,
    )  # fmt: skip
    run = subprocess.run([sys.executable, "-c", TRACING, model, folder], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    assert found["active"] == 43 * 15 * LAYERS
    assert found["check"] < 1e-4 and found["edges"] > 0
    assert found["peak"] < 3
