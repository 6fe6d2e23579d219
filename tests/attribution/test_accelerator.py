"""The same graph on an accelerator."""

import pytest
import torch
from random_models import ARCHITECTURES, PROMPT, random_folder, random_transcoder

from gemma_circuits import attribute, load


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_cuda_agrees_with_the_cpu(tmp_path, architecture):
    folder, dictionary = random_folder(tmp_path / "model", architecture), random_transcoder("clt affine")
    for settings in ({"max_features": None}, {"max_features": 50}):
        graphs = [
            attribute(load(folder, dictionary, device=device, dtype="float32"), PROMPT, progress=False, **settings)
            for device in ("cpu", "cuda")
        ]
        assert list(graphs[0].nodes) == list(graphs[1].nodes)
        assert graphs[1].check() < 1e-4
        torch.testing.assert_close(graphs[1].edges, graphs[0].edges, rtol=1e-3, atol=1e-4)
