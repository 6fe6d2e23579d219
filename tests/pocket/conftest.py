"""The shipped pocket model and its dictionaries, loaded once."""

import pytest
import torch

from gemma_circuits import pocket
from gemma_circuits.pocket import files, teach


@pytest.fixture(scope="session")
def shipped():
    """The model in float32 and its tokenizer."""
    return teach.load_model(pocket.MODEL)


@pytest.fixture(scope="session")
def model(shipped):
    return shipped[0]


@pytest.fixture(scope="session")
def tok(shipped):
    return shipped[1]


@pytest.fixture(scope="session")
def clt():
    return files.read_clt(pocket.CLT)


@pytest.fixture(scope="session")
def singles(model):
    """The per-layer transcoder and the one with a skip."""
    n_layers = model.config.num_hidden_layers
    return {p: files.read_single(str(p), n_layers) for p in (pocket.TRANSCODER, pocket.SKIP_TRANSCODER)}


@pytest.fixture(scope="session")
def held_out(tok) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Ids and labels of held-out texts."""
    return teach.sample(tok, 768, seed=2, held_out=True)
