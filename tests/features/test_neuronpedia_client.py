"""The client, against a server on this machine that answers as Neuronpedia does."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import pytest

import gemma_circuits as gmc
from gemma_circuits.data.errors import ArgumentError, FeatureError, RemoteError
from gemma_circuits.features.dashboards import Explanation
from gemma_circuits.features.exchange import imported
from gemma_circuits.features.neuronpedia_client import NeuronpediaClient, fetch_labels

MODEL, SOURCE = "gemma-3-4b-it", "1-gemmascope-2-transcoder-16k"


def answer(index: int) -> dict[str, Any]:
    """The fields that matter, and some that do not."""
    key = {"modelId": MODEL, "layer": SOURCE, "index": str(index)}
    return key | {
        "sourceSetName": "gemmascope-2-transcoder-16k",
        "creatorId": "x",
        "maxActApprox": 12.5,
        "frac_nonzero": 0.25,
        "freq_hist_data_bar_heights": [3, 1],
        "freq_hist_data_bar_values": [2.5, 7.5],
        "pos_str": [" red"],
        "pos_values": [1.5],
        "neg_str": [],
        "neg_values": [],
        "vector": [],
        "explanations": [
            {
                "id": "1",
                "description": f"label {index}",
                "explanationModelName": "gpt",
                "typeName": "auto",
                "scores": [],
            }
        ],
        "activations": [
            {"tokens": ["a", " red"], "values": [0, 12.5], "maxValueTokenIndex": 1, "binMin": -1, "binMax": -1}
        ],
        "comments": [],
    }


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, float, str]] = []
        """Path, time and user agent of each request."""
        self.script: list[Any] = []
        """Answers before the usual ones: a status, (status, headers), bytes, or seconds to be slow."""
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, time.monotonic(), self.headers["User-Agent"]))
        status, headers, body = 200, {}, b""
        parts = self.path.split("/")
        if parts[:3] != ["", "api", "feature"] or int(parts[5]) > 100:
            status = 404
        else:
            body = json.dumps(answer(int(parts[5]))).encode()
        match self.server.script.pop(0) if self.server.script else None:
            case int(status):
                ...
            case (int(status), headers):
                ...
            case bytes(body):
                ...
            case float(seconds):
                time.sleep(seconds)
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except BrokenPipeError:
            pass  # nobody waited for the slow answer

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def client(server, tmp_path):
    return NeuronpediaClient(url=server.url, cache=tmp_path / "cache", interval=0.0, backoff=0.001, timeout=5.0)


def test_a_feature_is_asked_for_once(server, client):
    found = client.dashboard(MODEL, SOURCE, 12)
    assert (found.layer, found.feature, found.top_logits, found.frequency) == (1, 12, (" red",), 0.25)
    assert found.explanations == (Explanation("label 12", "gpt", "auto"),)
    assert (found.act_min, found.act_max, found.histogram) == (0.0, 10.0, (3.0, 1.0))
    assert found.groups[0].passages[0].activations == (0.0, 12.5)
    ((path, _, agent),) = server.asked
    assert path == f"/api/feature/{MODEL}/{SOURCE}/12"
    assert agent.startswith("gemma-circuits")
    again = NeuronpediaClient(url=server.url, cache=client.cache)
    assert again.dashboard(MODEL, SOURCE, 12) == found
    assert len(server.asked) == 1


def test_nothing_is_asked_by_importing_or_making_one(server):
    program = (
        "import socket\n"
        "def refuse(*_): raise AssertionError('a connection')\n"
        "socket.socket.connect = refuse\n"
        "import gemma_circuits.features.neuronpedia_client as it\n"
        "it.NeuronpediaClient()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    NeuronpediaClient(url=server.url)
    assert not server.asked


def test_offline_only_the_cache_answers(server, client, monkeypatch):
    found = client.dashboard(MODEL, SOURCE, 1)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert client.dashboard(MODEL, SOURCE, 1) == found
    with pytest.raises(RemoteError, match="HF_HUB_OFFLINE is set"):
        client.dashboard(MODEL, SOURCE, 2)
    assert len(server.asked) == 1


def test_a_damaged_cache_is_asked_anew(server, client):
    found = client.dashboard(MODEL, SOURCE, 1)
    (file,) = client.cache.rglob("*.json.gz")
    for content in (b"", b"text", file.read_bytes()[:-9]):
        file.write_bytes(content)
        assert client.dashboard(MODEL, SOURCE, 1) == found
    assert len(server.asked) == 4


def test_a_cache_that_cannot_be_written_withholds_nothing(server, tmp_path):
    (tmp_path / "file").write_text("")
    client = NeuronpediaClient(url=server.url, cache=tmp_path / "file")
    assert client.dashboard(MODEL, SOURCE, 1).explanations[0].text == "label 1"


@pytest.mark.parametrize("trouble", [429, 500, 502, 503, 504])
def test_passing_troubles_are_tried_again(server, client, trouble):
    server.script = [trouble, trouble]
    assert client.dashboard(MODEL, SOURCE, 3).feature == 3
    assert len(server.asked) == 3


def test_waits_grow(server, tmp_path):
    server.script = [503, 503, 503]
    NeuronpediaClient(url=server.url, cache=tmp_path, interval=0, backoff=0.05).dashboard(MODEL, SOURCE, 3)
    times = [when for _, when, _ in server.asked]
    waits = [b - a for a, b in pairwise(times)]
    assert all(wait >= least for wait, least in zip(waits, (0.05, 0.1, 0.2), strict=True))


def test_requests_keep_their_distance(server, tmp_path):
    client = NeuronpediaClient(url=server.url, cache=tmp_path, interval=0.1)
    threads = [threading.Thread(target=client.dashboard, args=(MODEL, SOURCE, i)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = [when for _, when, _ in server.asked]
    assert len(times) == 4
    assert all(b - a > 0.09 for a, b in pairwise(times))


def test_the_server_may_ask_for_a_wait(server, client):
    server.script = [(429, {"Retry-After": "1"})]
    client.dashboard(MODEL, SOURCE, 3)
    (_, first, _), (_, second, _) = server.asked
    assert second - first >= 1
    server.script = [(429, {"Retry-After": "3600"})]
    with pytest.raises(RemoteError, match=r"429.*wait 3600 s.*export"):
        client.dashboard(MODEL, SOURCE, 4)
    assert len(server.asked) == 3


def test_after_enough_tries_it_gives_up(server, client):
    server.script = [503] * 9
    with pytest.raises(RemoteError, match="503"):
        client.dashboard(MODEL, SOURCE, 3)
    assert len(server.asked) == 5


@pytest.mark.parametrize("status", [301, 400, 401, 403])
def test_other_answers_are_not_tried_again(server, client, status):
    server.script = [status]
    with pytest.raises(RemoteError, match=str(status)):
        client.dashboard(MODEL, SOURCE, 3)
    assert len(server.asked) == 1


def test_slow_answers_time_out(server, tmp_path):
    client = NeuronpediaClient(url=server.url, cache=tmp_path, interval=0, timeout=0.1, retries=1, backoff=0.01)
    server.script = [0.4]
    assert client.dashboard(MODEL, SOURCE, 3).feature == 3
    server.script = [0.4, 0.4]
    with pytest.raises(RemoteError, match="Timeout"):
        client.dashboard(MODEL, SOURCE, 4)


def test_a_server_that_is_not_there_is_told(server, tmp_path):
    client = NeuronpediaClient(url="http://127.0.0.1:9", cache=tmp_path, interval=0, retries=1, backoff=0.01)
    with pytest.raises(RemoteError, match="ConnectError"):
        client.dashboard(MODEL, SOURCE, 4)


def test_what_is_not_shown_is_missing(server, client):
    with pytest.raises(FeatureError, match="404"):
        client.dashboard(MODEL, SOURCE, 101)
    server.script = [b"null"]
    with pytest.raises(FeatureError, match="null"):
        client.dashboard(MODEL, SOURCE, 5)
    assert not list(client.cache.rglob("*.json.gz"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"3",
        b'"x"',
        b'{"pos_str": 3}',
        b'{"explanations": [{}]}',
        b'{"activations": [3]}',
        b"[" * 10**5,
    ],
)
def test_other_bodies_are_refused_and_not_kept(server, client, body):
    server.script = [body]
    with pytest.raises(RemoteError, match="/api/feature/"):
        client.dashboard(MODEL, SOURCE, 5)
    assert client.dashboard(MODEL, SOURCE, 5).feature == 5


@pytest.mark.parametrize(
    "model, source", [("..", SOURCE), ("a/b", SOURCE), ("", SOURCE), (MODEL, "1-a/../b"), (MODEL, "gpt")]
)
def test_ids_that_cannot_be_are_refused(server, client, model, source):
    with pytest.raises(ArgumentError, match="Neuronpedia"):
        client.dashboard(model, source, 5)
    assert not server.asked


def test_labels_go_into_a_store(server, client, model, tmp_path):
    store = gmc.features.open(tmp_path / "store", model=model, create=True)
    ids = {"model": MODEL, "source_set": "gemmascope-2-transcoder-16k", "client": client, "progress": False}
    assert fetch_labels(store, [(1, 3), (0, 4)], **ids) == (2, 2)
    assert [path for path, *_ in server.asked] == [
        f"/api/feature/{MODEL}/{layer}-gemmascope-2-transcoder-16k/{feature}" for layer, feature in ((1, 3), (0, 4))
    ]
    label = store.label(1, 3)
    assert (label.text, label.author, label.source) == ("label 3", "gpt", "imported:neuronpedia")
    assert imported(store, 1, 3)["neuronpedia"].top_logits == (" red",)
    assert fetch_labels(store, [(1, 3)], **ids) == (1, 0)
    assert len(server.asked) == 2
    server.script = [404]
    assert fetch_labels(store, [(1, 5), (1, 6)], **ids) == (1, 1)
    with pytest.raises(FeatureError):
        fetch_labels(store, [(1, 7), (99, 0)], **ids)
    with pytest.raises(ArgumentError, match="source_set"):
        fetch_labels(store, [(1, 7)], client=client)
    assert len(server.asked) == 4


def test_released_dictionaries_are_known(server, client, model, tmp_path, monkeypatch):
    store = gmc.features.open(tmp_path / "store", model=model, create=True)
    monkeypatch.setattr(store, "transcoder", "google/gemma-scope-2-4b-it/transcoder_all/width_16k_l0_small_affine")
    fetch_labels(store, [(1, 3)], client=client, progress=False)
    assert server.asked[0][0] == f"/api/feature/{MODEL}/{SOURCE}/3"
