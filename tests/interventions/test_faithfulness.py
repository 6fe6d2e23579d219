"""Every number of a faithfulness report, against `intervene` and against a model where the graph is right."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from linear import linear_model
from random_models import KINDS, PROMPT, random_transcoder, with_transcoder

from gemma_circuits import Ablate, LogitDifference, Set, attribute, errors, faithfulness, intervene, load
from gemma_circuits.data import Circuit
from gemma_circuits.interventions import splice
from gemma_circuits.interventions.faithfulness.correlations import bootstrap

CASES = [
    ("gemma2", "clt affine", "frozen-attention", None),
    ("gemma3_text", "clt", "open", 2),
    ("gemma3_text", "transcoder", "direct", None),
    ("gemma2", "clt", "frozen-attention", 1),
]


def trace(model, **options):
    return attribute(model, PROMPT, max_features=None, progress=False, **options)


@pytest.fixture(scope="module", params=CASES, ids=str)
def measured(request, random_model):
    architecture, kind, mode, span = request.param
    model = with_transcoder(random_model(architecture), random_transcoder(kind, "mlp_in"))
    graph = trace(model, max_logits=3)
    report = faithfulness(model, graph, n_features=12, mode=mode, span=span, seed=3, batch_size=5, progress=False)
    return model, graph, report


def experiment(model, graph, report, intervention, layer):
    """The fall of the targets, the divergence, and the fall of all features' pre-activations, by `intervene`."""
    layers = None if report.span is None else range(layer, min(layer + report.span, model.n_layers))
    effect = intervene(model, PROMPT, intervention, mode=report.mode, layers=layers)
    weights = torch.tensor([target.probability for target in graph.targets]).double()

    def target(raw):
        values = (raw[-1] - raw[-1].mean())[[target.token_id for target in graph.targets]]
        return (values.double() @ weights / weights.sum()).item()

    nodes, moved = graph.nodes.where(kind="feature"), []
    for node in nodes:
        encoder = model.transcoder.tensors(node.layer).w_enc[:, node.feature]
        change = effect.baseline_reads[node.layer][node.position] - effect.reads[node.layer][node.position]
        moved.append((change @ encoder).item())
    fall = target(effect.baseline_raw_logits) - target(effect.raw_logits)
    return fall, effect.kl_divergence(), np.array(moved)


def test_the_most_influential_features_are_ablated(measured):
    _, graph, report = measured
    features = graph.nodes.where(kind="feature")
    order = sorted(features, key=lambda node: -graph.influence[node.index].item())[:12]
    for row, node in zip(report.features, order, strict=True):
        assert row[:4] == (node.layer, node.position, graph.tokens[node.position], node.feature)
        assert row.activation == pytest.approx(node.activation)
        assert row.influence == pytest.approx(graph.influence[node.index].item())
        weights = torch.tensor([target.probability for target in graph.targets])
        direct = (graph.edges[-3:, node.index] * weights).sum() / weights.sum()
        assert row.direct == pytest.approx(direct.item(), abs=1e-5)


def test_measured_as_by_intervene(measured):
    model, graph, report = measured
    for row in report.features:
        fall, kl, _ = experiment(model, graph, report, Ablate((row.layer, row.position, row.feature)), row.layer)
        assert row.measured == pytest.approx(fall, abs=1e-5)
        assert row.kl == pytest.approx(kl, abs=1e-6)


def test_random_features_are_silent_and_write_as_much(measured):
    model, graph, report = measured
    for row in report.features:
        reads = intervene(model, PROMPT, Ablate((0, 1, 0))).baseline_reads[row.layer]
        active = model.transcoder.encode(row.layer, reads[row.position, None]).features
        assert row.feature in active and row.null_feature not in active
        bound = len(model.transcoder.written(row.layer)) if report.span is None else report.span
        written = model.transcoder.tensors(row.layer).w_dec[:, :bound]
        own, other = (written[feature].norm().item() for feature in (row.feature, row.null_feature))
        imposed = Set((row.layer, row.position, row.null_feature), -row.activation * own / other)
        fall, kl, _ = experiment(model, graph, report, imposed, row.layer)
        assert row.null_measured == pytest.approx(fall, abs=1e-5)
        assert row.null_kl == pytest.approx(kl, abs=1e-6)


def test_pairs_and_distances_as_by_intervene(measured):
    model, graph, report = measured
    nodes, moved = graph.nodes, {}
    for row in report.features:
        index = graph.node(row.layer, row.position, row.feature).index
        moved[index] = experiment(model, graph, report, Ablate(nodes[index]), row.layer)[2]
    sources = {pair.source for pair in report.pairs}
    assert sources <= set(moved) and len(sources) > 8
    for pair in report.pairs[::7]:
        share = moved[pair.source][pair.target] / nodes.activation[pair.target]
        assert pair.measured == pytest.approx(share, abs=2e-5)
        assert pair.influence > 1e-6 and nodes.layer[pair.source] < nodes.layer[pair.target]
    layers, inverse = nodes.layer[: graph.wiring.n_features], _inverse(graph)
    for distance in report.perturbation:
        cosines, error, total = [], 0.0, 0.0
        for index, change in moved.items():
            here = layers == layers[index] + distance.layers
            predicted = inverse[here, index] * nodes.activation[: len(layers)][here]
            if predicted.any():
                cosines.append(predicted @ change[here] / np.linalg.norm(predicted) / np.linalg.norm(change[here]))
                error += ((predicted - change[here]) ** 2).sum()
                total += (change[here] ** 2).sum()
        assert distance.sources == len(cosines)
        assert distance.cosine.value == pytest.approx(np.mean(cosines), abs=1e-4)
        assert distance.error == pytest.approx(
            error / total, rel=1e-3, abs=1e-9
        )  # in mode "direct" all of it is rounding
        assert distance.cosine.low <= distance.cosine.value <= distance.cosine.high
    assert [distance.layers for distance in report.perturbation] == [1, 2]


def _inverse(graph):
    count = graph.wiring.n_features
    scaled = graph.edges[:count, :count].double() / torch.from_numpy(graph.nodes.activation[:count]).double()[:, None]
    return (torch.linalg.inv(torch.eye(count) - scaled) - torch.eye(count)).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_direct_mode_measures_edges(random_model, kind):
    model = with_transcoder(random_model("gemma2"), random_transcoder(kind, "resid_mid"))
    graph = trace(model)
    report = faithfulness(model, graph, n_features=30, mode="direct", progress=False)
    for row in report.features:
        assert row.measured == pytest.approx(row.direct, abs=1e-5)
    for pair in report.pairs:
        moved = pair.measured * graph.nodes.activation[pair.target]  # a share of a faint activation magnifies rounding
        assert moved == pytest.approx(graph.edges[pair.target, pair.source].item(), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_where_the_graph_is_right(kind):
    """A linear model, whose MLPs are the dictionary: predictions come true, over all paths."""
    model = linear_model(kind)
    graph = trace(model)
    report = faithfulness(model, graph, progress=False)
    size = max(abs(row.measured) for row in report.features)
    for row in report.features:
        assert row.measured == pytest.approx(row.total, abs=1e-4 * size)
    assert max(abs(row.measured - row.direct) for row in report.features) > 0.05 * size
    for pair in report.pairs:
        assert pair.measured == pytest.approx(pair.predicted, abs=1e-4)
    for outcome in ("target logits", "later features"):
        found = report.correlation("all paths", outcome)
        assert found.spearman.low > 0.99 and found.pearson.low > 0.99999
        chance = report.correlation("all paths", outcome, null=True)
        assert abs(chance.spearman.value) < 0.25 and abs(chance.pearson.value) < 0.25
    for distance in report.perturbation:
        assert distance.cosine.low > 0.99999 and distance.error < 1e-6
        assert abs(distance.null_cosine.value) < 0.2
    assert report.replacement.top1 == 1 and report.replacement.kl < 1e-8


def test_a_bounded_span_falls_short_of_a_right_graph():
    """A CLT's later writes stay; of per-layer transcoders there are none."""
    for kind in ("clt", "transcoder"):
        model = linear_model(kind)
        graph = trace(model)
        whole, own = (faithfulness(model, graph, n_features=20, span=span, progress=False) for span in (None, 1))
        same = [row.measured == pytest.approx(r.measured, abs=1e-3) for row, r in zip(whole.features, own.features)]
        assert all(same) is (kind == "transcoder")
        assert [distance.error < 1e-6 for distance in own.perturbation] == [True, kind == "transcoder"]


def test_the_circuit_on_its_own(model):
    texts = [(2, 77, 41, 30), (2, 55, 40)]
    graph = trace(model, max_logits=3)
    circuit = graph.prune(0.9, 0.99)
    report = faithfulness(model, circuit, n_features=1, texts=texts, progress=False)
    nothing = Circuit(graph, torch.arange(len(graph.nodes)) >= graph.wiring.n_hidden, circuit.kept_edges & False)
    weights = torch.tensor([target.probability for target in graph.targets])
    over = [PROMPT, *texts]
    for found, ablation in zip(report.circuits, ({}, {"to": "mean", "over": over}), strict=True):
        values = []
        for kept in (circuit, nothing):
            effect = intervene(model, PROMPT, Ablate(kept, **ablation))
            for raw in (effect.raw_logits[-1], effect.baseline_raw_logits[-1]):
                logits = (raw - raw.mean())[[target.token_id for target in graph.targets]]
                values.append((logits @ weights / weights.sum()).item())
            values.append(effect.kl_divergence())
            values.append(bool(effect.logits[-1].argmax() == effect.baseline_logits[-1].argmax()))
        alone, whole, kl, same, left, _, nothing_kl, _ = values
        assert (found.fill, found.same_token) == (ablation.get("to", "zero"), same)
        assert found[3:8] == pytest.approx((alone, whole, left, kl, nothing_kl), abs=1e-5)
        assert found.share == pytest.approx((alone - left) / (whole - left), abs=1e-4)
        assert found.kl_share == pytest.approx(1 - kl / nothing_kl, abs=1e-4)
        kept = circuit.nodes
        assert (found.features, found.errors) == (
            len(kept.where(kind="feature")),
            len(kept.where(kind="error")),
        )
    assert report.replacement.texts == 3


def test_a_circuit_of_everything_keeps_everything(model):
    found = faithfulness(model, trace(model).prune(1.0, 1.0), n_features=1, progress=False).circuits[0]
    assert found.share == pytest.approx(1, abs=1e-4) and found.kl_share == pytest.approx(1, abs=1e-4)


def test_correlations_are_of_the_features(measured):
    _, _, report = measured
    rows = report.features

    def ranks(name):
        values = np.array([abs(getattr(row, name)) if name == "direct" else getattr(row, name) for row in rows])
        return values.argsort().argsort()

    for null, kl in ((False, "kl"), (True, "null_kl")):
        for predictor, name in (("influence", "influence"), ("direct edge", "direct"), ("activation", "activation")):
            found = report.correlation(predictor, "KL divergence", null=null)
            assert found.spearman.value == pytest.approx(np.corrcoef(ranks(name), ranks(kl))[0, 1])
    for predictor, name in (("all paths", "total"), ("direct edge", "direct")):
        for null, outcome in ((False, "measured"), (True, "null_measured")):
            found = report.correlation(predictor, "target logits", null=null)
            x, y = ([getattr(row, field) for row in rows] for field in (name, outcome))
            assert found.pearson.value == pytest.approx(np.corrcoef(x, y)[0, 1])
            assert (found.count, found.logarithmic) == (12, False)
    for null, outcome in ((False, "measured"), (True, "null")):
        found = report.correlation("all paths", "later features", null=null)
        assert found.count == len(report.pairs)  # few enough to be all
        x, y = ([getattr(pair, field) for pair in report.pairs] for field in ("predicted", outcome))
        assert found.pearson.value == pytest.approx(np.corrcoef(x, y)[0, 1])
        groups = np.array([pair.source for pair in report.pairs])
        assert found.pearson == pytest.approx(bootstrap(np.array(x), np.array(y), groups, seed=3))
        found = report.correlation("influence", "later features", null=null)
        x = [pair.influence for pair in report.pairs]
        assert found.pearson.value == pytest.approx(np.corrcoef(np.log(x), np.log(np.abs(y)))[0, 1])
        assert found.logarithmic


def test_the_pocket_model_does_better_than_chance():
    model = load()
    graph = attribute(model, "The capital of the state containing Dallas is", progress=False)
    report = faithfulness(model, graph, progress=False)
    for predictor, outcome in (
        ("all paths", "target logits"),
        ("influence", "later features"),
        ("all paths", "later features"),
    ):
        found, chance = (report.correlation(predictor, outcome, null=null).spearman for null in (False, True))
        assert found.low > chance.value + 0.05
    near = report.perturbation[0]
    assert near.cosine.low > 0.8 and near.error < 0.4 and near.null_cosine.high < 0.3
    assert report.replacement.top1 == 1
    assert report.circuits[0].share > 0.5 and report.circuits[0].same_token


def test_seeds_reproduce(model):
    graph = trace(model)
    first, same, other = (
        faithfulness(model, graph, n_features=5, seed=seed, progress=False).to_json() for seed in (1, 1, 2)
    )
    assert first == same
    assert first["features"] != other["features"]
    assert [row["measured"] for row in first["features"]] == [row["measured"] for row in other["features"]]


def test_where_every_feature_fires(random_model):
    """There is none to put in its place."""
    drawn = random_transcoder("transcoder", "mlp_in")
    layers = {
        layer: {name: getattr(drawn.tensors(layer), name) for name in ("w_enc", "w_dec", "b_dec")}
        | {"b_enc": torch.full((24,), 50.0)}
        for layer in drawn.layers
    }
    model = with_transcoder(
        random_model("gemma3_text"), type(drawn).from_tensors("transcoder", layers, reads="mlp_in", writes="mlp_out")
    )
    report = faithfulness(model, trace(model), n_features=4, progress=False)
    assert {row.null_feature for row in report.features} == {-1}
    assert all(math.isnan(row.null_measured) and not math.isnan(row.measured) for row in report.features)
    assert math.isnan(report.correlation("all paths", "target logits", null=True).spearman.value)
    assert math.isnan(report.perturbation[0].null_cosine.value)
    assert len(report.figure().data) == 10
    assert report.from_json(report.to_json()).to_json() == report.to_json()


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"n_features": 0}, errors.ArgumentError, "n_features: expected 1 or more, or None, got 0"),
        ({"span": 0}, errors.ArgumentError, "span: expected 1 or more, or None, got 0"),
        ({"batch_size": -1}, errors.ArgumentError, "batch_size: expected 1 or more, or None, got -1"),
        ({"mode": "shut"}, errors.ArgumentError, "mode: expected"),
        ({"texts": [""]}, errors.EmptyPromptError, "prompt"),
    ],
)
def test_refused_settings(model, options, kind, message):
    with pytest.raises(kind, match=message):
        faithfulness(model, trace(model), progress=False, **options)


def test_refused_graphs(model, random_model):
    with pytest.raises(errors.ArgumentError, match=r"targets: expected tokens.* got ' Austin minus  Dallas'"):
        faithfulness(model, trace(model, targets=LogitDifference(" Austin", " Dallas")), progress=False)
    with pytest.raises(errors.MismatchError, match="graph: expected one of"):
        faithfulness(with_transcoder(model, random_transcoder("clt", seed=9)), trace(model), progress=False)
    graph = trace(model)
    unheard = replace(graph, edges=graph.edges * (torch.arange(graph.edges.shape[1]) >= graph.wiring.n_features))
    with pytest.raises(errors.ArgumentError, match="graph: expected features that influence its targets, got none"):
        faithfulness(model, unheard, progress=False)


def test_features_without_influence_are_left_out(model):
    """None of those in the last layer has a path to the targets but at the last position."""
    graph = trace(model)
    report = faithfulness(model, graph, n_features=None, progress=False)
    assert len(report.features) == (graph.influence[: graph.wiring.n_features] > 1e-6).sum() < report.graph_features
    assert {row.position for row in report.features if row.layer == 2} == {len(PROMPT) - 1}


@pytest.mark.parametrize("after", [0, 2, 4])
def test_interruption_leaves_the_model_as_it_was(model, monkeypatch, after):
    before, passes = model.module(torch.tensor([PROMPT])).logits, []
    graph, run = trace(model), splice.run

    def interrupted(*args, **options):
        passes.append(1)
        if len(passes) > after:
            looks = [*args[2], (model.transcoder.writes, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))]
            return run(args[0], args[1], looks, **options)
        return run(*args, **options)

    monkeypatch.setattr(splice, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        faithfulness(model, graph, n_features=20, batch_size=3, progress=False)
    assert torch.equal(model.module(torch.tensor([PROMPT])).logits, before)
