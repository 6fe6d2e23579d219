"""How attribution's time and memory grow with tokens, layers and rows: `benchmarks/attribution.py --growth`."""

from __future__ import annotations

import argparse
import gc
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import NormalDist, linear_regression
from typing import Any, NamedTuple

import attribution

FIRES = 43
"""Features that fire at a token and layer, about."""


class Sizes(NamedTuple):
    """What is measured; the middle of each range is held while another one grows."""

    d: int
    features: int
    tokens: tuple[int, ...]
    layers: tuple[int, ...]
    rows: tuple[int, ...]
    held: dict[str, int]


FULL = Sizes(640, 14560, (8, 16, 32, 64, 128, 256), (6, 12, 18, 26), (500, 1000, 2000, 4000, 8000),
             {"tokens": 32, "layers": 18, "rows": 1000})  # fmt: skip
QUICK = Sizes(256, 2912, (16, 32, 64), (4, 6, 9), (250, 500, 1000), {"tokens": 32, "layers": 6, "rows": 500})


def measure_growth(args: argparse.Namespace) -> None:
    """Run every size in a process of its own; print figures and fitted exponents, and draw them."""
    sizes = QUICK if args.quick else FULL
    runs = {
        name: [sizes.held | {name: value} for value in getattr(sizes, name)] for name in ("tokens", "layers", "rows")
    }
    attribution.THRESHOLD = NormalDist().inv_cdf(1 - FIRES / sizes.features)
    depths = sorted({run["layers"] for own in runs.values() for run in own})
    found: dict[str, dict[str, float]] = {}
    for depth in depths:  # one set of weights at a time is on the disk
        with tempfile.TemporaryDirectory() as folder:
            attribution.make_weights(Path(folder), layers=depth, d=sizes.d, ffn=2 * sizes.d, features=sizes.features)
            for run in (run for own in runs.values() for run in own if run["layers"] == depth):
                if str(run) not in found:
                    found[str(run)] = _in_a_process(folder, run)
    series = {name: [(run[name], found[str(run)]) for run in own] for name, own in runs.items()}
    for name, points in series.items():
        held = ", ".join(f"{value} {other}" for other, value in sizes.held.items() if other != name)
        print(f"{name} ({held})")
        for value, figures in points:
            print(f"  {value:6,}: {figures['seconds']:8.2f} s  {figures['bytes'] / 2**30:6.2f} GiB", flush=True)
        time, memory = (exponent(points, figure) for figure in ("seconds", "bytes"))
        print(f"  time grows as {name}^{time:.2f}, memory as {name}^{memory:.2f}")
    if args.plot:
        _plot(series, args.plot)


def exponent(points: list[tuple[int, dict[str, float]]], figure: str) -> float:
    """Slope of a straight line through the logarithms."""
    pairs = [(math.log(value), math.log(figures[figure])) for value, figures in points]
    return linear_regression(*zip(*pairs)).slope


def _in_a_process(folder: str, run: dict[str, int]) -> dict[str, float]:
    told = json.dumps({"folder": folder, **run})
    done = subprocess.run([sys.executable, __file__, told], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _measure(told: dict[str, Any]) -> dict[str, float]:
    """Seconds, the better of two runs, and bytes beyond those of the opened model."""
    import psutil
    from attribution import peak, prompt

    import gemma_circuits as gmc

    model = gmc.load(Path(told["folder"]) / "model", Path(told["folder"]) / "clt", device="cpu")
    ids = prompt(argparse.Namespace(tokens=told["tokens"]))
    gmc.attribute(model, ids[:4], max_features=64, progress=False)  # what is slow only once
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    opened, seconds = psutil.Process().memory_info().rss, []
    for _ in range(2):
        start = time.perf_counter()
        graph = gmc.attribute(model, ids, max_features=told["rows"], progress=False)
        seconds.append(time.perf_counter() - start)
        expanded = len(graph.nodes.where(kind="feature"))
        if expanded < told["rows"]:
            raise SystemExit(f"only {expanded} features fire: fewer than the {told['rows']} rows asked for")
        del graph
    return {"seconds": min(seconds), "bytes": peak() - opened}


def _plot(series: dict[str, list[tuple[int, dict[str, float]]]], path: Path) -> None:
    import plotly.graph_objects as go

    from gemma_circuits.figures import style

    traces, layout, annotations = [], {}, []
    ticks = [times * 10.0**power for power in range(-2, 4) for times in (1, 2, 5)]
    for column, (name, points) in enumerate(series.items()):
        for row, (figure, unit, scale) in enumerate((("seconds", "seconds", 1), ("bytes", "GiB", 2**30))):
            nth = str(2 * column + row + 1) if column + row else ""
            x, y = [value for value, _ in points], [figures[figure] / scale for _, figures in points]
            traces.append(
                go.Scatter(
                    x=x, y=y, mode="lines+markers", xaxis=f"x{nth}", yaxis=f"y{nth}", showlegend=False,
                    marker_color=style.COLOURS[row], uid=f"{name} {figure}",
                )
            )  # fmt: skip
            left, low = column * 0.36, 0.58 * (1 - row)
            layout[f"xaxis{nth}"] = {
                "domain": [left, left + 0.28], "anchor": f"y{nth}", "type": "log", "title_text": name,
                "tickvals": x, "ticktext": [f"{value:,}" for value in x],
            }  # fmt: skip
            layout[f"yaxis{nth}"] = {
                "domain": [low, low + 0.42], "anchor": f"x{nth}", "type": "log", "title_text": unit,
                "matches": f"y{row + 1}" if column else None,
                "tickvals": ticks, "ticktext": [f"{value:g}" for value in ticks],
            }  # fmt: skip
            annotations.append(
                {"text": f"exponent {exponent(points, figure):.2f}", "showarrow": False, "xref": f"x{nth} domain",
                 "yref": f"y{nth} domain", "x": 0.03, "y": 1.0, "xanchor": "left"}
            )  # fmt: skip
    figure = style.figure(*traces, width="double", height=3.4, annotations=annotations, **layout)
    figure.write_html(path) if path.suffix == ".html" else figure.write_image(path)
    print(path)


if __name__ == "__main__":
    print(json.dumps(_measure(json.loads(sys.argv[1]))))
