"""Proposed supernodes: planted groups are found, every number is recomputed, and accepting one can be undone."""

import re

import numpy as np
import pytest
import torch
from random_models import PROMPT

from gemma_circuits import Supernode, attribute, load
from gemma_circuits.attribution.progress import Progress
from gemma_circuits.data.errors import ArgumentError, NodeError, StoreMismatchError
from gemma_circuits.features import collect, grouping, logit_effects, propose_groups
from gemma_circuits.features.likeness import TEXTS, Known, likeness, words
from gemma_circuits.features.search import active_on_each
from gemma_circuits.pocket import corpus

DALLAS = "The capital of the state containing Dallas is"


@pytest.fixture(scope="module")
def pocket():
    return load()


@pytest.fixture(scope="module")
def store(pocket, tmp_path_factory):
    texts = [f"{t.prompt}{t.answer}" for t in corpus.texts()["two-hop"][::4]]
    with collect(pocket, texts, tmp_path_factory.mktemp("grouping") / "store", progress=False) as store:
        yield store


@pytest.fixture(scope="module")
def traced(pocket):
    return attribute(pocket, DALLAS, progress=False)


@pytest.fixture
def graph(traced):
    """Without annotations, before and after."""
    before = traced.annotations.notes
    yield traced
    traced.annotations.restore(before)


@pytest.fixture(scope="module")
def found(traced, pocket, store):
    return tuple(propose_groups(traced.prune(), pocket, store, progress=False))


def at_position(graph, nodes):
    """Features of the circuit at the position of these nodes, and which rows these are."""
    around = graph.prune().nodes.where(kind="feature", position=int(nodes.position[0]))
    return around, np.flatnonzero(np.isin(around.index, nodes.index))


def pairs(vectors, rows, centred=False):
    """Cosines of all pairs of different rows."""
    vectors = vectors.double() - (vectors.double().mean(0) if centred else 0)
    cosine = torch.nn.functional.cosine_similarity(vectors[rows][:, None], vectors[rows][None], dim=-1)
    return cosine[np.triu_indices(len(rows), 1)]


def told(proposal, kind):
    """Mean, smallest and largest, as a reason says."""
    (reason,) = [reason for reason in proposal.reasons if reason.startswith(kind)]
    return [float(number) for number in re.findall(r"-?\d\.\d\d", reason)]


def test_a_proposal_gathers_features_that_tell_texas(graph, found, pocket):
    at_dallas = [p for p in found if p.nodes.position[0] == 7 and len(p.nodes) > 2]
    state = corpus.state_of()
    cities = [*corpus.facts()["states"]["Texas"]["cities"], *list(state)[::3]]
    cities = [city for city in cities if city != "Dallas"]
    fires = dict(zip(cities, active_on_each(pocket, [DALLAS.replace("Dallas", c) for c in cities], Progress(False))))

    def share(proposal, cities):
        return np.mean(
            [
                len(fires[city].nodes.where(layer=node.layer, position=7, feature=node.feature))
                for city in cities
                for node in proposal.nodes
            ]
        )

    inside, outside = ([city for city in fires if (state[city] == "Texas") == is_texan] for is_texan in (True, False))
    best = max(at_dallas, key=lambda p: share(p, inside) - share(p, outside))
    # A feature at Dallas fires for a tenth of all cities; these do for half of the Texan ones.
    assert share(best, inside) > 0.45 and share(best, inside) > 3 * share(best, outside)
    named = best.name.split(", ")
    assert named[0] == "Dallas" and sum(state.get(name) == "Texas" for name in named) >= 3


def test_the_numbers_of_the_reasons(graph, found, pocket, store):
    assert len(found) > 4
    edges, wiring = graph.edges.double(), graph.wiring
    weight = torch.cat([graph.influence[: wiring.n_features], wiring.weights.float()]).double()
    for proposal in found:
        nodes, n = proposal.nodes, len(proposal.nodes)
        around, rows = at_position(graph, nodes)
        assert proposal.reasons[0].startswith(f"{n} features at position {nodes.position[0]}, ")
        relative = edges * (weight / edges.abs().sum(1).clamp(min=1e-30))[:, None]
        decoders = torch.stack(
            [pocket.transcoder.decoder(node.layer, torch.tensor([node.feature]))[0].sum(0) for node in nodes]
        )
        expected = {
            "incoming": pairs(edges[around.index], rows, centred=True),
            "outgoing": pairs(relative[:, around.index].T, rows, centred=True),
            "decoders": pairs(decoders, np.arange(n)),
        }
        for kind, values in expected.items():
            assert told(proposal, kind) == pytest.approx(
                [float(x) for x in (values.mean(), values.min(), values.max())], abs=0.006
            )
        promoted = sum(
            logit_effects(pocket, node).logits * node.activation for node in nodes
        )  # of all members, as active as they are
        top = [pocket.tokenizer.decode([i]) for i in promoted.topk(3).indices.tolist()]
        assert "together they promote " + ", ".join(map(repr, top)) in proposal.reasons
        assert proposal.influence == pytest.approx(graph.influence[nodes.index].sum().item(), rel=1e-5)
    assert [p.influence for p in found] == sorted([p.influence for p in found], reverse=True)


def test_co_activation_is_the_correlation_of_firing_over_examples(graph, found, pocket, store):
    features = graph.prune().nodes.where(kind="feature")
    places = dict.fromkeys(zip(features.layer.tolist(), features.feature.tolist()))
    texts = dict.fromkeys(e.token_ids for place in places for e in store[place].examples[:TEXTS])
    runs = list(active_on_each(pocket, list(texts), Progress(False)))
    for proposal in found[:4]:
        fires, tokens = [], []
        for run in runs:
            one = np.zeros((len(proposal.nodes), len(run.prompt)))
            for row, node in enumerate(proposal.nodes):
                one[row, run.nodes.where(layer=node.layer, feature=node.feature).position] = 1
            fires.append(one[:, 1:])
            tokens += run.prompt.tokens[1:]
        fires = np.concatenate(fires, 1)
        values = np.corrcoef(fires)[np.triu_indices(len(fires), 1)]
        assert told(proposal, "firing") == pytest.approx(
            [float(x) for x in (values.mean(), values.min(), values.max())], abs=0.006
        )
        here = graph.tokens[proposal.nodes.position[0]].strip()
        together = {}
        for token, count in zip(tokens, fires.sum(0).astype(int).tolist()):
            if token.strip() not in ("", here):
                together[token.strip()] = max(count, together.get(token.strip(), 0))
        (reason,) = [r for r in proposal.reasons if r.startswith("elsewhere")] or [""]
        named = re.findall(r"(['\"].*?['\"]) \((\d+) of", reason)
        assert all(together[eval(token)] == int(count) > len(fires) / 2 for token, count in named)
        best = sorted(together.values(), reverse=True)
        assert [int(count) for _, count in named] == [n for n in best[:3] if n > len(fires) / 2]


def planted(rng, groups=4, size=4, others=6, width=40, noise=0.5):
    """Facts about features in groups that share what they read, write and fire on."""
    n = groups * size + others
    member = np.concatenate([np.repeat(np.arange(groups), size), groups + np.arange(others)])

    def vectors():
        centres = rng.standard_normal((groups + others, width))
        return (centres[member] + noise * rng.standard_normal((n, width))).astype(np.float32)

    fires = (rng.random((groups + others, 300)) < 0.1)[member] ^ (rng.random((n, 300)) < 0.01)
    facts = Known([""] * n, 5 + vectors(), 9 + vectors(), torch.tensor(vectors()), fires, ["x"] * 300)
    return facts, member


def test_planted_groups_are_found_and_nothing_else():
    for seed in range(20):
        facts, member = planted(np.random.default_rng(seed))
        shuffled = np.random.default_rng(seed).permutation(len(member))
        got = {frozenset(rows.tolist()) for rows, _ in grouping._groups(facts, np.sort(shuffled), 0.4)}
        assert got == {frozenset(np.flatnonzero(member == group).tolist()) for group in range(4)}


def test_a_higher_threshold_never_joins_more():
    facts, _ = planted(np.random.default_rng(0), noise=1.5)
    rows = np.arange(len(facts.labels))
    sizes = [sum(len(group) for group, _ in grouping._groups(facts, rows, t)) for t in (0.2, 0.4, 0.6, 0.8)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > sizes[-1]


def test_labels_count():
    facts, _ = planted(np.random.default_rng(1), groups=0, others=6)
    rows = np.arange(6)
    assert not list(grouping._groups(facts, rows, 0.2))
    labels = ["cities of Texas", "Texas", "fires on Texas", "", "dogs", "cats"]
    ((group, pairs),) = grouping._groups(Known(labels, *list(vars(facts).values())[1:]), rows, 0.1)
    assert group.tolist() == [0, 1, 2] and pairs["labels"].tolist() == [0.5, 0.5, 1]
    found = likeness(Known(labels, *list(vars(facts).values())[1:]), rows)["labels"]
    assert np.isnan(found[3]).all() and found[4, 5] == 0
    assert words("fires on ' Texas' and 3 more") == {"texas", "3"}


def test_labels_of_the_graph_name_a_group(graph, pocket, found):
    nodes = found[0].nodes
    graph.annotations.update(labels=dict.fromkeys(nodes, "the lone star"))
    again = [p for p in propose_groups(graph.prune(), pocket, progress=False) if nodes[0] in list(p.nodes)]
    assert again[0].name == "the lone star" and "labels: 'lone' in" in "\n".join(again[0].reasons)


def test_accepting_is_one_change_that_can_be_undone(graph, found):
    seen = []
    graph.annotations.observe(seen.append)
    before = graph.annotations.notes
    previous = found[0].accept()
    assert previous is before and len(seen) == 1
    assert list(graph.supernode(found[0].name).nodes) == list(found[0].nodes)
    second = found[1].accept("mine")
    assert list(graph.supernode("mine").nodes) == list(found[1].nodes) and len(seen) == 2
    graph.annotations.restore(second)
    assert [group.name for group in graph.annotations.notes.supernodes] == [found[0].name]
    graph.annotations.restore(previous)
    assert graph.annotations.notes == before and not before.supernodes


def test_what_people_grouped_is_left_alone(graph, found, pocket):
    members = list(found[0].nodes)
    graph.annotations.update(supernodes=[Supernode(found[1].name, members[:1])])
    again = propose_groups(graph.prune(), pocket, progress=False)
    assert all(members[0] not in list(p.nodes) for p in again)
    names = [p.name for p in again]
    assert len(set(names)) == len(names) and found[1].name not in names


def test_proposals_are_apart_and_of_one_position(graph, found):
    indices = [index for p in found for index in p.nodes.index.tolist()]
    assert len(indices) == len(set(indices))
    assert set(indices) <= set(graph.prune().nodes.where(kind="feature").index.tolist())
    for p in found:
        assert len(p.nodes) >= 2 and len(set(p.nodes.position.tolist())) == 1
        assert repr(p).startswith(repr(p.name)) and all(reason in repr(p) for reason in p.reasons)


def test_without_a_model_the_graph_itself_is_compared(graph):
    found = propose_groups(graph.prune(), progress=False)
    assert found and not any(re.search("decoders|firing|promote", repr(p)) for p in found)
    assert found[0].graph is graph


def test_too_few_or_too_many_features(graph, monkeypatch):
    monkeypatch.setattr(grouping, "LARGEST", 20)
    with pytest.raises(ArgumentError, match=r"at most 20 features, got .*prune"):
        propose_groups(graph, progress=False)
    assert propose_groups(graph.prune(0.0), progress=False) == []


@pytest.mark.parametrize("threshold", [0, 1, float("nan")])
def test_no_threshold(graph, threshold):
    with pytest.raises(ArgumentError, match="threshold"):
        propose_groups(graph, threshold=threshold)


def test_a_graph_or_store_of_another_model(graph, model, store):
    with pytest.raises(NodeError):
        propose_groups(graph.prune(), model, progress=False)
    with pytest.raises(StoreMismatchError):
        propose_groups(attribute(model, PROMPT, progress=False), model, store, progress=False)
