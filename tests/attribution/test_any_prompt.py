"""Whatever is asked of whatever prompt, the identity holds."""

from hypothesis import given, settings
from hypothesis import strategies as st
from random_models import ARCHITECTURES, KINDS, READS, VOCABULARY, random_transcoder, with_transcoder

from gemma_circuits import attribute

token = st.integers(0, VOCABULARY - 1).filter(lambda i: i != 2)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    architecture=st.sampled_from((*ARCHITECTURES, "chat")),
    kind=st.sampled_from(KINDS),
    reads=st.sampled_from(READS),
    start=st.sampled_from(([], [2], [2, 4, 7, 6])),
    rest=st.lists(token, min_size=1, max_size=16),
    ask=st.fixed_dictionaries(
        {},
        optional={
            "max_features": st.integers(1, 400),
            "batch_size": st.integers(1, 100),
            "max_logits": st.integers(1, 20),
            "logit_mass": st.floats(0.01, 1),
            "targets": st.lists(token, min_size=1, max_size=5, unique=True),
        },
    ),
    position=st.integers(-1, 0),
)
def test_identity(random_model, architecture, kind, reads, start, rest, ask, position):
    model = with_transcoder(random_model(architecture), random_transcoder(kind, reads))
    graph = attribute(model, [*start, *rest], position=position, progress=False, **ask)
    assert graph.check() < 1e-5
    active = graph.metadata["active_features"]
    assert graph.wiring.n_features == min(ask.get("max_features", 8192), active)
    assert graph.n_positions == (len(start) + len(rest) if position == -1 else 1)
    assert len(graph.nodes) == graph.wiring.n_features + (model.n_layers + 1) * graph.n_positions + len(graph.targets)
