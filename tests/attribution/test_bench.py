"""What the benchmark of attribution counts, fits and prints."""

import importlib
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "benchmarks"), *sys.path])
    names = ("attribution", "growth", "results")
    yield Namespace(**{name: importlib.import_module(name) for name in names})
    for name in names:
        del sys.modules[name]


def test_work_by_counting(bench, monkeypatch):
    """Every product of two numbers, and its addition, of two rows in a model of 7 layers with windows of 3."""
    attribution = bench.attribution
    monkeypatch.setattr(attribution, "SHAPES", {"tiny": {"layers": 7, "d": 5}})
    for name, value in (("HEADS", 2), ("HEAD_DIM", 4), ("WINDOW", 3)):
        monkeypatch.setattr(attribution, name, value)
    places, fires, expected = [(6, 4, 0), (2, 7, 0)], 6, 0
    for layer, position, _ in places:
        for index in range(layer + 1):
            window = 3 if index != 5 else 99
            queries = [position] if index == layer else range(position + 1)
            keys = {key for query in queries for key in range(query + 1) if query - key < window}
            expected += len(queries) * 5 * 8 * 2 + len(keys) * 4 * 5 * 2
            expected += sum(2 * 8 for query in queries for key in keys if 0 <= query - key < window)
            if index < layer:
                expected += (position + 1) * fires * (index + 1) * 5 * 2
    args = Namespace(shape="tiny", tokens=11)
    assert attribution.work(torch.tensor(places), fires * 7 * 10, args) == expected


def test_exponent(bench):
    points = [(n, {"seconds": 3 * n**1.7}) for n in (8, 16, 64, 256)]
    assert bench.growth.exponent(points, "seconds") == pytest.approx(1.7)


def result(rows=1000, seconds=2.0):
    ours, peer = {"active": 10_500, "seconds": seconds, "peak": 2**30}, {"seconds": 50.0, "peak": 3 * 2**30}
    return {"shape": "270m", "tokens": 16, "rows": rows, "share": 0.456, "ours": ours, "peer": peer}


def test_table(bench, tmp_path):
    file = tmp_path / "results.json"
    for one in (result(4000), result(seconds=9.0), result()):
        bench.results.add(one, file)
    table = bench.results.markdown(bench.results.json.loads(file.read_text())).split("\n")
    assert table[2] == "| 270m | 16 | 1,000 | 10,500 | 2.0 | 500 | 1.00 | 46% | 25.0x | 3.0x |"
    assert len(table) == 4
    assert len({line.count("|") for line in table}) == 1


def test_table_between_the_markers(bench):
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    once = bench.results.put("| a |", readme)
    assert "\n| a |\n" in once
    twice = bench.results.put("| b |", once)
    assert bench.results.put("| a |", twice) == once
    with pytest.raises(SystemExit, match="expected"):
        bench.results.put("| a |", "no markers")
