from __future__ import annotations

from html.parser import HTMLParser

import pytest

from gemma_circuits.data import display
from gemma_circuits.data.nodes import Target
from tests.data.samples import HOSTILE, small_graph

TARGETS = (Target(HOSTILE, 50, 0.5), Target('"><script>alert(1)</script>', 51, 0.25))


@pytest.fixture(params=["graph", "circuit"])
def shown(request):
    graph = small_graph(prompt=HOSTILE, tokens=(HOSTILE, "&amp;"), targets=TARGETS)
    return graph if request.param == "graph" else graph.prune()


class Tags(HTMLParser):
    """Names and attributes of all tags, and the text between them."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.open.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_html_of_hostile_tokens_is_inert(shown):
    page = Tags(shown._repr_html_())
    assert page.tags == {"div", "b", "table", "thead", "tbody", "tr", "th", "td"}
    assert page.attributes == {"style"}
    assert not page.open
    assert "<img src=x" in page.text
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text
    shown._repr_html_().encode()  # no half of a surrogate pair


def test_html_tells_targets_scores_and_top_features(shown):
    text = Tags(shown._repr_html_()).text
    scores = shown.scores()
    for told in ("0.500", "0.250", f"{scores.replacement:.3f}", f"{scores.completeness:.3f}"):
        assert told in text
    features = shown.nodes.where(kind="feature")
    top = features[int(shown.influence[features.index].argmax())]
    assert f"{shown.influence[top.index]:.3f}" in text
    assert f"{top.activation:.3g}" in text


def test_html_brings_nothing_from_elsewhere_and_follows_the_theme(shown):
    html = shown._repr_html_()
    assert "url(" not in html
    assert "http" not in html
    assert "var(--jp-ui-font-color1,inherit)" in html


def test_text_of_hostile_tokens_is_inert(shown):
    text = repr(shown)
    assert text.startswith("Graph of " if shown.__class__.__name__ == "Graph" else "Circuit of ")
    assert "0.500" in text
    assert "\x1b" not in text
    assert text.count("\n") == 1


def test_a_long_prompt_is_cut():
    assert len(repr(small_graph(prompt="word " * 1000)).splitlines()[0]) < 160
    assert display.shorten("it's " * 50, 20) == "\"it's it's it's it's…\""


def test_a_registered_renderer_adds_its_own(shown):
    assert set(shown._repr_mimebundle_()) == {"text/plain", "text/html"}
    display.register(lambda it: {"application/x-view": it.prompt})
    try:
        bundle = shown._repr_mimebundle_(include=None, exclude=None)
        assert bundle["application/x-view"] == HOSTILE
        assert bundle["text/plain"] == repr(shown)
        display.register(lambda it: None)
        assert set(shown._repr_mimebundle_()) == {"text/plain", "text/html"}
    finally:
        display.register(None)
