"""Bad input is refused by an error of its own, and leaves the model as it was."""

import copy
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_models import PROMPT, random_transcoder, with_transcoder

from gemma_circuits import Ablate, Add, Node, Patch, Set, Steer, Supernode, attribute, errors, generate, intervene
from gemma_circuits.models import ReplacementModel, edit
from gemma_circuits.transcoders.stored import StoredTranscoder

NAN, INF = float("nan"), float("inf")


def own_logits(model):
    return model.module(torch.tensor([PROMPT])).logits


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.module.modules())


@pytest.fixture
def unharmed(model):
    """The model; afterwards it must give the very logits that it gave before."""
    before, registered = own_logits(model), hooks(model)
    yield model
    assert torch.equal(own_logits(model), before)
    assert hooks(model) == registered


@pytest.mark.parametrize(
    ("interventions", "kind", "message"),
    [
        ([], errors.NoInterventionError, "interventions: expected at least one, got none"),
        (Ablate([]), errors.NoInterventionError, "node: expected at least one feature or error"),
        (Ablate(Supernode("none", [])), errors.NoInterventionError, r"Supernode\('none', 0 nodes\)"),
        (
            ["ablate"],
            errors.InterventionError,
            "interventions: expected Ablate, Steer, Set, Patch or Add, got 'ablate'",
        ),
        (7, errors.InterventionError, "got 7"),
        (Ablate((3, 4, 5)), errors.NodeError, "layer: expected 0 to 2, got 3; is it a node of another model"),
        (Ablate((-1, 4, 5)), errors.NodeError, "layer: expected 0 to 2, got -1"),
        (Ablate((1, 4, 24)), errors.NodeError, "feature of layer 1: expected 0 to 23, got 24; is it a node of another"),
        (Ablate((1, 4, -1)), errors.NodeError, "expected a feature from 0 to 23"),
        (Ablate((1, 4, 2.5)), errors.NodeError, r"expected \(layer, position, feature\), got \(1, 4, 2.5\)"),
        (Ablate((1, "4", 2)), errors.NodeError, r"expected \(layer, position, feature\)"),
        (Ablate("Texas"), errors.NodeError, "node: expected a feature or error node"),
        (Ablate(Node("feature", 7, 4, 5)), errors.NodeError, "layer: expected 0 to 2, got 7"),
        (Ablate(Node("error", 3, 4)), errors.NodeError, "layer: expected 0 to 2, got 3"),
        (Ablate(Node("token", -1, 4, token_id=5)), errors.NodeError, "expected a feature or an error, got token p4 #5"),
        (Ablate(Node("logit", 3, 8, token_id=5)), errors.NodeError, "expected a feature or an error, got logit p8"),
        (Ablate((1, 9, 5)), errors.PositionError, "position: expected -9 to 8, got 9"),
        (Ablate((1, -10, 5)), errors.PositionError, "position: expected -9 to 8, got -10"),
        (Ablate((1, slice(20, 30), 5)), errors.PositionError, "position: expected some of 1 to 8"),
        (
            Ablate((1, 0, 5)),
            errors.IgnoredPositionError,
            "position: expected 1 to 8, got 0; dictionaries are not trained",
        ),
        (Ablate((1, -9, 5)), errors.IgnoredPositionError, "position: expected 1 to 8, got -9"),
        (Ablate((1, slice(0, 1), 5)), errors.IgnoredPositionError, "position: expected some of 1 to 8"),
        (Ablate(Node("error", 1, 0)), errors.IgnoredPositionError, "position: expected 1 to 8, got 0"),
        (Add(torch.ones(32), 1, 0), errors.IgnoredPositionError, "position: expected 1 to 8, got 0"),
        (Add(torch.ones(32), 3, 4), errors.NodeError, "layer: expected 0 to 2, got 3"),
        (Add(torch.ones(31), 1, 4), errors.InterventionValueError, "Add, direction: expected a vector of 32, got 31"),
        (Set(Node("error", 1, 4), 2), errors.InterventionError, "Set: expected features, got the error of layer 1 at"),
        (
            [Set((1, 4, 5), 2), Set((1, -5, 5), 3)],
            errors.ContradictionError,
            "feature 5 of layer 1 at position 4: expected one value, got 2 and 3; make two experiments of it",
        ),
        ([Set((1, slice(None), 5), 2), Ablate((1, 4, 5))], errors.ContradictionError, "got 2 and 0"),
        ([Ablate(Node("error", 1, 4)), Steer(Node("error", 1, 4), 2)], errors.ContradictionError, "got two different"),
        (Patch((1, 4, 5), 0), errors.IgnoredPositionError, "position: expected 1 to 8, got 0"),
        (Patch((1, 4, 5), 9), errors.PositionError, "position: expected -9 to 8, got 9"),
        (
            Patch((1, 4, 5), 3, position=2),
            errors.InterventionError,
            "expected one position of this prompt, got 3 and 2",
        ),
        (Patch((1, 8, 5), PROMPT[:5]), errors.PositionError, "position: expected -5 to 4, got 8"),
        (Patch((1, slice(None), 5), PROMPT[:5]), errors.PositionError, "Patch: expected 8 places in the source, got 4"),
        (Patch((1, 4, 5), ""), errors.EmptyPromptError, "prompt"),
        (Set((1, 4, 5), 1e38), errors.NotFiniteError, "interventions: expected finite logits.*; impose less"),
        (Set((1, 4, 5), 1e25), errors.NotFiniteError, "interventions: expected finite logits.*; impose less"),
    ],
    ids=lambda value: repr(value)[:40],
)
@pytest.mark.parametrize("verb", [intervene, generate])
def test_refused(unharmed, verb, interventions, kind, message):
    if verb is generate and interventions == []:
        return  # the model by itself
    with pytest.raises(kind, match=message) as caught:
        verb(unharmed, PROMPT, interventions)
    assert type(caught.value) is kind


@pytest.mark.parametrize("value", [NAN, INF, -INF, "much", None])
def test_values_that_are_no_numbers(value):
    for make in (
        lambda: Set((1, 4, 5), value),
        lambda: Steer((1, 4, 5), value),
        lambda: Add(torch.ones(32), 1, 4, value),
    ):
        with pytest.raises(errors.InterventionValueError, match=r"expected a (finite )?number"):
            make()


def test_directions_that_are_no_vectors():
    with pytest.raises(errors.InterventionValueError, match="a vector of finite numbers, got NaN or infinity"):
        Add(torch.tensor([1.0, NAN]), 1)
    with pytest.raises(errors.InterventionValueError, match=r"a vector of finite numbers, got shape \(1, 32\)"):
        Add(torch.ones(1, 32), 1)


@pytest.mark.parametrize(
    ("asked", "kind", "message"),
    [
        ({"mode": "frozen"}, errors.ArgumentError, "mode: expected 'direct' or 'frozen-attention' or 'open', got 'fr"),
        ({"mode": None}, errors.ArgumentError, "mode: expected"),
        ({"layers": range(2, 4)}, errors.ArgumentError, r"layers: expected a range within 0 to 2, got range\(2, 4\)"),
        ({"layers": range(0)}, errors.ArgumentError, "layers: expected a range within 0 to 2"),
        ({"layers": 2}, errors.ArgumentError, "layers: expected a range within 0 to 2, got 2"),
        (
            {"layers": range(1)},
            errors.DroppedInterventionError,
            "feature 5 of layer 1.*writes to layers 0 to 0, got none",
        ),
        ({"measure": "some"}, errors.ArgumentError, "measure: expected 'all', nodes, or None, got 'some'"),
        ({"measure": [(1, 4, 99)]}, errors.NodeError, "feature of layer 1: expected 0 to 23, got 99"),
        ({"prompt": ""}, errors.EmptyPromptError, "prompt"),
    ],
)
def test_arguments_refused(unharmed, asked, kind, message):
    with pytest.raises(kind, match=message):
        intervene(unharmed, **{"prompt": PROMPT, "interventions": Ablate((1, 4, 5)), **asked})


def test_circuits_refused(unharmed):
    circuit = attribute(unharmed, PROMPT, progress=False).prune()
    inside, outside = circuit.nodes.where(kind="feature")[0], (0, 1, 23)
    for make in (lambda: Steer(circuit, 2), lambda: Set(circuit, 2), lambda: Patch(circuit, PROMPT)):
        with pytest.raises(errors.InterventionError, match=r"of a Circuit; Ablate\(circuit\) keeps only"):
            intervene(unharmed, PROMPT, make())
    with pytest.raises(errors.MismatchError, match="circuit: expected one of this prompt, got one of"):
        intervene(unharmed, (2, 90, *PROMPT[2:]), Ablate(circuit))
    with pytest.raises(errors.ContradictionError, match=r"feature 23 of layer 0 .* got 3, and 0 by the circuit"):
        intervene(unharmed, PROMPT, [Ablate(circuit), Set(outside, 3)])
    intervene(unharmed, PROMPT, [Ablate(circuit), Set(inside, 3), Ablate(outside)])
    other = with_transcoder(unharmed, random_transcoder("clt affine", seed=9))
    for item in (Ablate(circuit), Patch(inside, circuit), Patch(inside, circuit.graph)):
        with pytest.raises(errors.MismatchError, match="graph: expected one of gemma3_text with memory, got one of"):
            intervene(other, PROMPT, item)


def test_a_chat_prompt_begins_with_ignored_positions(random_model):
    model = random_model("chat")
    messages = [{"role": "user", "content": "Hello"}]
    with pytest.raises(errors.IgnoredPositionError, match="position: expected 4 to 9, got 3"):
        intervene(model, messages, Ablate((1, 3, 5)))
    effect = intervene(model, messages, Set((1, slice(None), 5), 1))
    assert [row.position for row in effect.applied] == [4, 5, 6, 7, 8, 9]
    assert not effect.activations[:, :4].any()


def test_a_dictionary_that_writes_where_nothing_can_is_refused(unharmed):
    other = random_transcoder("transcoder", "mlp_in")
    other.writes = other.reads
    with pytest.raises(errors.MismatchError, match="expected one that writes where the model writes, got one that wri"):
        intervene(with_transcoder(unharmed, other), PROMPT, Ablate((1, 4, 5)))


def test_models_that_are_no_numbers(unharmed):
    broken = copy.deepcopy(unharmed.module)
    broken.model.layers[1].self_attn.v_proj.weight[0, 0] = NAN
    other = ReplacementModel(broken, unharmed.tokenizer, unharmed.transcoder, name="broken")
    with pytest.raises(errors.NotFiniteError, match="model: expected finite logits, got NaN or infinity"):
        intervene(other, PROMPT, Ablate((1, 4, 5)))


positions = st.integers(-12, 12) | st.slices(9)
places = st.tuples(st.integers(-1, 3), positions, st.integers(-1, 25))
nodes = (
    places
    | st.lists(places, max_size=3)
    | st.builds(Node, st.sampled_from(["feature", "error"]), *[st.integers(0, 9)] * 3)
)
numbers = st.floats(-20, 20) | st.sampled_from([1e30, 3e38])
groups = st.builds(Supernode, st.just("group"), st.lists(places, max_size=3))
anything = (
    st.builds(Ablate, nodes | groups)
    | st.builds(Ablate, nodes | groups, st.just("mean"), st.sampled_from([(), ((2, 90, 17, 33), (2, 41))]))
    | st.builds(Steer, nodes, numbers)
    | st.builds(Set, nodes, numbers)
    | st.builds(Patch, nodes, st.just((2, 90, 17, 33)) | st.integers(0, 9))
    | st.builds(lambda layer, at, scale: Add(torch.ones(32), layer, at, scale), st.integers(0, 3), positions, numbers)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(anything, max_size=4), st.sampled_from(["direct", "frozen-attention", "open", "generate"]))
def test_whatever_is_imposed_the_model_stays_as_it_was(model, items, mode):
    before, registered = own_logits(model), hooks(model)
    try:
        if mode == "generate":
            generate(model, PROMPT, items, max_new_tokens=3)
        else:
            assert intervene(model, PROMPT, items, mode=mode).logits.isfinite().all()
    except errors.GemmaCircuitsError:
        pass
    assert torch.equal(own_logits(model), before)
    assert hooks(model) == registered


@pytest.mark.parametrize(
    "owner, name", [(StoredTranscoder, "decoder"), (StoredTranscoder, "activate"), (edit, "read_scale")]
)
@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("verb", [intervene, generate])
def test_interrupted(unharmed, monkeypatch, owner, name, count, verb):
    function, calls = getattr(owner, name), iter(range(count))

    def interrupted(*args, **kwargs):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return function(*args, **kwargs)

    items = [Set((0, 3, 1), 4), Set((1, 8, 2), 4)]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(owner, name, interrupted)
        verb(unharmed, PROMPT, items)
    assert unharmed.lock.acquire(timeout=1)
    unharmed.lock.release()


def test_threads_share_a_model(unharmed):
    experiments = [Set((0, 3, 1), 4), Ablate((1, 4, 5)), Set((2, 8, 2), 9), Add(torch.ones(32), 1, 4)]
    expected = [intervene(unharmed, PROMPT, item).logits for item in experiments]
    together = Barrier(len(experiments))

    def work(index):
        together.wait()
        found = [intervene(unharmed, PROMPT, experiments[index]).logits for _ in range(4)]
        graph = attribute(unharmed, PROMPT, max_features=20, progress=False)
        return all(torch.equal(logits, expected[index]) for logits in found) and graph.check() < 1e-5

    with ThreadPoolExecutor(len(experiments)) as pool:
        assert all(pool.map(work, range(len(experiments))))
