"""Long prompts: blocks of positions, decoder vectors that are not held, and rows without their smallest edges."""

from dataclasses import replace

import pytest
import torch
from random_models import ARCHITECTURES, KINDS, PROMPT, random_folder, random_transcoder, with_transcoder

import gemma_circuits.attribution.decoders as decoders
import gemma_circuits.attribution.expanded as expanded
import gemma_circuits.attribution.job as jobs
import gemma_circuits.attribution.sources as sources
import gemma_circuits.attribution.verbs as engine
import gemma_circuits.models.attention as attention
from gemma_circuits import Graph, attribute, estimate, load
from gemma_circuits.data.errors import ArgumentError
from gemma_circuits.data.pruning import shares

LONG = (2, *(20 + i * i % 70 for i in range(40)))


def trace(model, prompt=LONG, **settings):
    return attribute(model, prompt, progress=False, **settings)


def in_blocks(monkeypatch, size, *, streamed=True, vectors=1):
    monkeypatch.setattr(sources, "BLOCK", size)
    monkeypatch.setattr(attention, "BLOCK", size)
    if streamed:
        monkeypatch.setattr(decoders, "HELD_BYTES", -1)
        monkeypatch.setattr(decoders, "BLOCK_BYTES", vectors)


def assert_same(one, other, close=1e-5):
    assert list(one.nodes) == list(other.nodes)
    for name in ("edges", "target_bias", "target_pre_activations"):
        found, expected = getattr(one, name), getattr(other, name)
        assert (found - expected).abs().max() < close * expected.abs().max()


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_blocks_of_positions_do_not_change_the_graph(random_model, monkeypatch, architecture, size):
    model = random_model(architecture)
    whole = trace(model, max_features=300)
    in_blocks(monkeypatch, size, vectors=3000)
    assert_same(trace(model, max_features=300), whole)


@pytest.mark.parametrize("batch_size", [1, 5, None])
@pytest.mark.parametrize("kind", KINDS)
def test_blocks_with_every_kind_of_dictionary(model, monkeypatch, kind, batch_size):
    model = with_transcoder(model, random_transcoder(kind))
    whole = trace(model, PROMPT, max_features=None)
    in_blocks(monkeypatch, 2)
    blocked = trace(model, PROMPT, max_features=None, batch_size=batch_size)
    assert_same(blocked, whole)
    assert blocked.check() < 1e-5


def test_vectors_that_are_not_held_are_read_in_small_parts(model, monkeypatch):
    """As few as one position at a time, and never more than asked for unless one position has more."""
    in_blocks(monkeypatch, 8, vectors=40_000)
    read, dictionary = [], model.transcoder
    decode = dictionary.decoder
    monkeypatch.setattr(
        dictionary, "decoder", lambda layer, ids: read.append(decode(layer, ids).nbytes) or decode(layer, ids)
    )
    trace(model, max_features=5)
    assert len(read) > 80
    assert max(read) <= 40_000


def test_batches_are_as_large_as_their_rows_allow(model, monkeypatch):
    """Rows that read low in the model take less on their way down."""
    in_blocks(monkeypatch, 8)
    job = engine.prepare(model, LONG, None, -1, 10, 0.95, engine.Progress(False))
    low, high = torch.zeros(9, dtype=torch.int64), torch.full((9,), 2)
    assert (job.row_bytes.diff() >= 0).all()
    monkeypatch.setattr(jobs, "STREAMED_BYTES", 5 * int(job.row_bytes[2]))
    assert job.fitting(high) == 5 < job.fitting(low)
    monkeypatch.setattr(jobs, "STREAMED_BYTES", 1)
    assert job.fitting(high) == 1


def test_vectors_of_a_block_are_one_piece_of_memory(model):
    """Pieces below 32 MB stay with the process when they are not needed any more."""
    job = engine.prepare(model, PROMPT, None, -1, 10, 0.95, engine.Progress(False))
    [(_, writes)] = job.sources.decoders.within(0, len(PROMPT))
    assert len({own.vectors.untyped_storage().data_ptr() for own in writes}) == 1
    assert sum(own.vectors.nbytes for own in writes) == job.sources.decoders.nbytes


def test_encoders_leave_memory_where_it_is_short(model, monkeypatch):
    released = []
    monkeypatch.setattr(model.transcoder, "release", released.append)
    trace(model, max_features=5)
    assert released == []
    in_blocks(monkeypatch, 8)
    trace(model, max_features=5)
    assert released == [0, 1, 2]


def test_early_positions_that_nothing_reads_are_skipped(tmp_path, monkeypatch):
    """All layers slide by 4: three layers of attention reach 9 positions back."""
    folder = random_folder(tmp_path / "model", "gemma3_text", layer_types=["sliding_attention"] * 3)
    model = load(folder, random_transcoder())
    in_blocks(monkeypatch, 1)
    seen = set()
    within = decoders.Decoders.within

    def watch(self, start, stop):
        seen.add(start)
        return within(self, start, stop)

    job = engine.prepare(model, LONG, None, -1, 10, 0.95, engine.Progress(False))
    monkeypatch.setattr(decoders.Decoders, "within", watch)
    late = ((job.sources.active.positions == 40) & (job.sources.active.layers == 2)).nonzero().squeeze(1)
    [rows] = job.rows(late, 64)
    assert seen == set(range(31, 41))
    tokens = rows.edges[:, -len(LONG) :].any(0).nonzero().squeeze(1)
    assert tokens.tolist() == list(range(31, 41))
    early = (job.sources.active.positions == 5).nonzero().squeeze(1)
    [both] = job.rows(torch.cat([late, early]), 64)  # with positions between them that neither reads
    [alone] = job.rows(early, 64)
    for part in (rows, alone):
        order = [both.features.tolist().index(own) for own in part.features.tolist()]
        torch.testing.assert_close(both.edges[order], part.edges)


@pytest.mark.parametrize("window", [None, 1, 4, 100])
def test_patterns_by_block(window):
    query, key = torch.randn(4, 9, 6), torch.randn(2, 9, 6)
    frozen = attention.Attention(query, key, 0.3, window, 2.0)
    scores = (torch.einsum("hqw,hkw->hqk", query, key.repeat_interleave(2, 0)) * 0.3 / 2).tanh() * 2
    for q in range(9):
        for k in range(9):
            if k > q or (window is not None and q - k >= window):
                scores[:, q, k] = -1e9
    expected = scores.softmax(-1)
    for start, stop in ((0, 9), (0, 3), (3, 7), (8, 9)):
        first = frozen.first(start)
        torch.testing.assert_close(frozen.pattern(start, stop), expected[:, start:stop, first:stop])
        assert not expected[:, start:stop, :first].any()


def test_no_pattern_is_held(model):
    captured = model.capture(LONG)
    held = [tensor for own in captured.attentions for tensor in vars(own).values() if isinstance(tensor, torch.Tensor)]
    assert max(tensor.numel() for tensor in held) < len(LONG) ** 2 * 4


def test_after_a_trace_the_model_attends_as_before(model):
    with pytest.raises(KeyboardInterrupt), attention.in_blocks(model.config):
        raise KeyboardInterrupt
    model.capture(PROMPT)
    assert model.config._attn_implementation == "eager"


# Rows without their smallest edges


@pytest.fixture(scope="module")
def both(request):
    """A graph of all features, whole and with 95% of each row."""
    model = request.getfixturevalue("model")
    return trace(model, max_features=None), trace(model, max_features=None, keep=0.95)


def test_rows_keep_their_sums(both):
    whole, sparse = both
    assert not whole.target_rest.any()
    left_out = (whole.edges - sparse.edges).double()
    assert (left_out != 0).float().mean() > 0.05
    same = whole.edges == sparse.edges
    assert (same | (sparse.edges == 0)).all()
    torch.testing.assert_close(sparse.target_rest.double(), left_out.abs().sum(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(sparse.incoming, whole.edges.abs().sum(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(sparse.target_bias.double(), whole.target_bias + left_out.sum(1), rtol=1e-4, atol=1e-5)
    assert sparse.check() < 1e-5


def test_what_is_left_out_is_the_smallest_and_little(both):
    whole, sparse = both
    n_features = whole.wiring.n_features
    assert torch.equal(sparse.edges[:, n_features:], whole.edges[:, n_features:])
    gone = (sparse.edges == 0) & (whole.edges != 0)
    largest = torch.where(gone, whole.edges.abs(), 0).amax(1)
    smallest = torch.where(sparse.edges[:, :n_features] != 0, sparse.edges[:, :n_features].abs(), torch.inf).amin(1)
    assert (largest <= smallest).all()
    fixed = whole.edges[:, n_features:].abs().sum(1)
    assert (sparse.target_rest <= 0.05 * fixed * (1 + 1e-6)).all()
    assert (sparse.target_rest > 0.02 * fixed)[-1]  # and no more is kept than needed


def test_influence_and_scores_are_exact_to_the_share(both):
    """A path of k edges carries at most what it did, and at least (1 - 0.05)^k of all that runs through k edges."""
    whole, sparse = both
    lost = whole.influence - sparse.influence
    assert lost.min() > -1e-6
    assert 0 < lost.sum() < (1 - 0.95**4) * whole.influence.sum()
    assert abs(whole.scores().replacement - sparse.scores().replacement) < 0.05
    assert abs(whole.scores().completeness - sparse.scores().completeness) < 0.05
    one, other = whole.prune(), sparse.prune()
    assert (one.node_mask ^ other.node_mask).float().mean() < 0.05


def test_shares_and_influence_by_brute_force(both):
    whole, sparse = both
    n_features = whole.wiring.n_features
    normal = sparse.edges.double() / whole.edges.double().abs().sum(1, keepdim=True)
    torch.testing.assert_close(shares(sparse.wiring).double(), normal, rtol=1e-4, atol=1e-6)
    step = torch.zeros(len(normal), dtype=torch.float64)
    step[n_features:] = torch.tensor([target.probability for target in whole.targets])
    total = torch.zeros(normal.shape[1], dtype=torch.float64)
    for _ in range(whole.n_layers + 1):
        sent = step @ normal.abs()
        total += sent
        step = torch.zeros_like(step)
        step[:n_features] = sent[:n_features]
    torch.testing.assert_close(sparse.influence[: len(total)].double(), total, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("keep", [1.0, 0.9])
def test_packed_rows_with_features_left_out(model, monkeypatch, keep):
    """Rows of long prompts are packed even where every edge that is not zero is kept."""
    whole = trace(model, max_features=100)
    monkeypatch.setattr(engine, "WHOLE_BYTES", 0)
    sparse = trace(model, max_features=100, keep=keep)
    if keep == 1:
        assert_same(sparse, whole, 1e-6)
        assert not sparse.target_rest.any()
    assert sparse.check() < 1e-5
    fixed = whole.edges[:, 100:].abs().sum(1)
    if list(sparse.nodes) == list(whole.nodes):
        assert (sparse.incoming >= whole.edges.abs().sum(1) * (1 - 1e-6)).all()
    assert (sparse.target_rest <= (1 - keep) * fixed.max() + 1e-6).all()


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999, 1.0])
def test_packing(share):
    generator = torch.Generator().manual_seed(0)
    edges = torch.randn(5, 203, generator=generator) * torch.randn(5, 203, generator=generator).exp()
    edges[:, ::3], edges[4] = 0, 0
    by_column = edges.T.contiguous().T  # as they come
    whole = expanded.keep_all(torch.arange(5), [1] * 5, by_column, torch.zeros(5))
    packed = expanded.keep_share(torch.arange(5), [1] * 5, by_column, torch.zeros(5), n_features=190, share=share)
    chosen = torch.tensor([0, 1, 2, 50, 189])
    assert torch.equal(whole.edges, edges) and whole.edges.is_contiguous()
    for rows in (whole, packed):
        torch.testing.assert_close(rows.sizes, edges.abs().sum(1))
    cut, left_out = packed.cut(torch.arange(190), 190)
    assert packed.rest is not None
    torch.testing.assert_close(cut.sum(1) + packed.rest[0], edges.sum(1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(cut.abs().sum(1) + packed.rest[1], edges.abs().sum(1), rtol=1e-4, atol=1e-4)
    assert (packed.rest[1] <= (1 - share) * edges[:, 190:].abs().sum(1) * (1 + 1e-5)).all()
    assert not left_out.any()
    some, others = packed.cut(chosen, 190)
    assert torch.equal(some[:, :5], cut[:, chosen])
    torch.testing.assert_close(some.sum(1) + others, cut.sum(1), rtol=1e-4, atol=1e-4)
    if share == 1:
        assert torch.equal(cut, edges)
    expected = sum(w * cut[row, :190].abs() / edges[row].abs().sum() for w, row in ((2, 1), (3, 2)))
    for of in (packed, replace(whole, edges=cut)):
        reach = torch.zeros(190)
        of.add_influence(reach, torch.tensor([2.0, 3.0]), 1, 3)
        torch.testing.assert_close(reach, expected)


def test_automatic_share(model, monkeypatch):
    assert trace(model, PROMPT).metadata["keep"] == 1
    monkeypatch.setattr(engine, "WHOLE_BYTES", 1000)
    assert trace(model, PROMPT).metadata["keep"] == 0.999
    assert trace(model, PROMPT, keep=1).metadata["keep"] == 1
    assert "stored" not in repr(trace(model, PROMPT, keep=1))
    assert "of each row of edges 0.9 is stored" in repr(trace(model, PROMPT, keep=0.9))


@pytest.mark.parametrize("keep", [0, -1, 1.01, float("nan")])
def test_no_share(model, keep):
    with pytest.raises(ArgumentError, match="keep"):
        trace(model, keep=keep)


def test_saved_and_read_again(both, tmp_path):
    _, sparse = both
    again = Graph.load(sparse.save(tmp_path / "sparse.graph"))
    assert torch.equal(again.target_rest, sparse.target_rest)
    assert torch.equal(again.influence, sparse.influence)
    assert again.scores() == sparse.scores()
    circuit = again.prune()
    loaded = type(circuit).load(circuit.save(tmp_path / "circuit.graph"))
    assert loaded.scores() == circuit.scores()
    assert again.to_networkx().number_of_edges() == int((sparse.edges != 0).sum())


def test_paths_carry_the_influence(both):
    _, sparse = both
    found = sparse.paths("token", "logit", k=3)
    tokens = sparse.influence[sparse.nodes.where(kind="token").index].sum()
    assert found.influence == pytest.approx(float(tokens), rel=1e-4)


def test_estimate_of_a_long_prompt(model, monkeypatch):
    in_blocks(monkeypatch, 8)
    assert estimate(model, LONG, max_features=5).memory < estimate(model, LONG, max_features=None).memory
