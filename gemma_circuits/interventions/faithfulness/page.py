"""The page of a faithfulness report: one HTML file that needs nothing else."""

from __future__ import annotations

from html import escape

from ...data import display
from .correlations import RESAMPLES
from .records import PAPER, PUBLISHED, number, spread
from .report import Faithfulness

SHOWN = 10
"""Features of the table."""
STYLE = """
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #1f2328; background: #fff;
  font: 15px/1.45 Georgia, 'Times New Roman', serif; }
h1 { font-size: 1.55rem; line-height: 1.25; margin: 0 0 .3rem; font-weight: normal; }
h2 { font-size: .95rem; margin: 1.4rem 0 .3rem; }
p { margin: .35rem 0; }
.prompt { font-style: italic; }
.small, figcaption, caption, li { color: #57606a; font-size: .8rem; line-height: 1.4; }
ul { margin: 0; padding-left: 1.1rem; }
table { border-collapse: collapse; width: 100%; margin: 1.2rem 0; font: 12px/1.35 Arial, Helvetica, sans-serif;
  font-variant-numeric: tabular-nums; border-top: 1.5px solid; border-bottom: 1.5px solid; }
th, td { padding: 2px 6px; text-align: right; white-space: nowrap; }
th { border-bottom: 1px solid; font-weight: normal; font-style: italic; }
.text { text-align: left; white-space: normal; }
caption { text-align: left; padding-bottom: .35rem; font-family: Georgia, 'Times New Roman', serif; }
figure { margin: 1.2rem 0; }
figure .plotly-graph-div { margin: 0 auto; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 0 2rem; align-items: start; }
@media (max-width: 40rem) { .pair { display: block; } figure, table { display: block; overflow-x: auto; } }
@media print { body { margin: 0 auto; } table, figure { break-inside: avoid; } }
"""


def page(report: Faithfulness) -> str:
    """The HTML of a report; all that comes from a prompt, a model or a file is escaped."""
    figure = report.figure().to_html(
        full_html=False,
        include_plotlyjs=True,
        include_mathjax=False,
        div_id="figure",
        config={"displayModeBar": False},
    )
    prompt, model, transcoder = map(_shown, (report.prompt, report.model, report.transcoder))
    targets = ", ".join(f"{escape(repr(token))} ({probability:.3f})" for token, probability in report.targets)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Faithfulness: {prompt}</title><style>{STYLE}</style></head><body>
<h1>Does the model do what its graph says?</h1>
<p class="prompt">{prompt}</p>
<p class="small">{model} with {transcoder}. Targets (probability): {targets}.</p>
<p>{escape(_summary(report))}</p>
{_headline(report)}
<figure>{figure}<figcaption><b>Figure.</b> {escape(_caption(report))}</figcaption></figure>
{_correlations(report)}
<div class="pair">{_distances(report)}{_replacement(report)}</div>
{_circuits(report)}
{_features(report)}
<h2>How this was measured</h2>
{_methods(report)}
</body></html>
"""


def _shown(text: str) -> str:
    return escape(display.shorten(text, 400)[1:-1])


def _summary(report: Faithfulness) -> str:
    paths, chance = (report.correlation("all paths", "target logits", null=null).spearman for null in (False, True))
    alone = report.circuits[0]
    return (
        f"Of {report.graph_features} features, the {len(report.features)} most influential were ablated one by one. "
        f"What that does to the target logits goes with what the graph predicts at a rank correlation of "
        f"{spread(paths)}; with random features in their place, of {spread(chance)}. The circuit of {alone.features} "
        f"features and {alone.errors} errors, all else ablated, keeps {number(alone.share)} of the target logits."
    )


def _caption(report: Faithfulness) -> str:
    count = report.correlation("influence", "later features").count
    return (
        "a, b: every point is an ablated feature; c: an ablated and a later feature, "
        f"{len(report.pairs)} of {count} such pairs. Grey: a random feature in place of the ablated one. Dotted: "
        "measured as predicted. d: over all features of a layer; bars are 95% intervals."
    )


def _headline(report: Faithfulness) -> str:
    pairs, chance = (report.correlation("influence", "later features", null=null).spearman for null in (False, True))
    rows = [["Influence on later features, Spearman", spread(pairs), spread(chance), str(PUBLISHED["spearman"])]]
    for near in (distance for distance in report.perturbation if distance.layers == 1):
        by_chance = spread(near.null_cosine)
        rows.append(
            ["Change of features one layer on, cosine", spread(near.cosine), by_chance, f"about {PUBLISHED['cosine']}"]
        )
        rows.append(["Change of features one layer on, error", number(near.error), "", f"about {PUBLISHED['error']}"])
    rows.append(["Full replacement, top-1 agreement", number(report.replacement.top1), "", str(PUBLISHED["top1"])])
    return _table(
        "Beside the published figures",
        f"{PAPER}: an 18-layer model, means over many prompts. A figure of one prompt varies more.",
        ["", "here", "by chance", "published"],
        rows,
    )


def _correlations(report: Faithfulness) -> str:
    chance = {(c.predictor, c.outcome): c for c in report.correlations if c.null}
    rows = [
        [
            c.predictor,
            c.outcome,
            str(c.count),
            spread(c.spearman),
            spread(chance[c.predictor, c.outcome].spearman),
            spread(c.pearson) + (" (log)" if c.logarithmic else ""),
        ]
        for c in report.correlations
        if not c.null
    ]
    return _table(
        "Predicted and measured effects of ablations",
        "Signed for target logits and for all paths, else sizes, with Pearson's coefficient of logarithms. Sizes agree "
        "by chance too, since any change of that length matters more at some places than at others: what counts is "
        "the distance from chance.",
        ["prediction", "measured", "n", "Spearman", "Spearman by chance", "Pearson"],
        rows,
        texts=2,
    )


def _distances(report: Faithfulness) -> str:
    rows = [
        [str(d.layers), spread(d.cosine), number(d.null_cosine.value), number(d.error)] for d in report.perturbation
    ]
    return _table(
        "Change of later features",
        "Predicted and measured changes of the pre-activations of a layer's features. Error: squared differences over "
        "squared measured changes, each summed.",
        ["layers on", "cosine", "by chance", "error"],
        rows,
    )


def _replacement(report: Faithfulness) -> str:
    full = report.replacement
    rows = [
        ["same likeliest token (top-1)", number(full.top1)],
        ["KL divergence, nats", f"{full.kl:.2g}"],
        ["cross-entropy, nats: the model", number(full.cross_entropy)],
        ["all MLPs replaced", number(full.replaced)],
        ["all MLP outputs zero", number(full.zeroed)],
        ["all MLP outputs at their mean", number(full.averaged)],
        ["recovered of zero ablation", number(full.recovered_from_zero)],
        ["recovered of mean ablation", number(full.recovered_from_mean)],
    ]
    return _table(
        "Full replacement",
        f"All MLPs, no errors, nothing frozen; {full.positions} positions of {full.texts} "
        f"text{'s' * (full.texts != 1)}. A dash: the ablation costs nothing there that could be recovered.",
        ["", "value"],
        rows,
    )


def _circuits(report: Faithfulness) -> str:
    rows = [
        [
            {"zero": "zero", "mean": "their mean"}[c.fill],
            *map(number, (c.target, c.whole, c.nothing, c.share, c.kl_share)),
            "yes" if c.same_token else "no",
        ]
        for c in report.circuits
    ]
    return _table(
        "The circuit on its own",
        "Mean logit of the targets, of the circuit, of the whole model, and with nothing kept; shares are (circuit - "
        "nothing) / (whole - nothing), and may leave 0 to 1.",
        ["all else at", "circuit", "whole", "nothing", "share of logits", "share of KL", "same likeliest token"],
        rows,
    )


def _features(report: Faithfulness) -> str:
    rows = [
        [
            repr(r.token),
            str(r.layer),
            str(r.position),
            str(r.feature),
            f"{r.influence:.3f}",
            *(f"{x:+.2f}" for x in (r.direct, r.total, r.measured)),
            number(r.null_measured),
            f"{r.kl:.2g}",
        ]
        for r in report.features[:SHOWN]
    ]
    return _table(
        "The most influential features",
        "Effects on the mean target logit: positive where it falls by the ablation.",
        ["token", "layer", "position", "feature", "influence", "edge", "all paths", "measured", "random", "KL"],
        rows,
    )


def _methods(report: Faithfulness) -> str:
    answers = {
        "frozen-attention": "attention patterns are those of the prompt, all else answers",
        "open": "everything answers, attention patterns too",
        "direct": "attention patterns, norm denominators and MLP outputs are those of the prompt",
    }[report.mode]
    span = (
        "All that a feature writes is taken away, and all MLPs run on. If the graph is right nothing counts twice: no "
        "later feature does the ablated one's work; where a later MLP does, that is part of what is measured."
        if report.span is None
        else f"What a feature writes is taken away in {report.span} layer{'s' * (report.span != 1)}, from its own on, "
        "with MLP outputs frozen there (constrained patching), so that nothing counts twice; later MLPs run on, and "
        "what it writes there stays."
    )
    points = (
        f"Ablations (mode {report.mode}): {answers}. {span}",
        "All paths: effects summed over all paths of the graph, features answering to their input with slope 1, all "
        "else constant: errors, attention patterns, norm denominators. Influence: likewise of absolute edges, as "
        "shares of a target's input. Direct edge: no path but the edge itself.",
        "Target logits: their mean, weighted by probability, each less the vocabulary's mean, before a softcap. Later "
        "features: changes of their pre-activations, as shares of their activations.",
        "By chance: a write of equal length, in the direction of a feature of that layer drawn from those silent at "
        "that position.",
        f"Intervals: 95%, percentiles of {RESAMPLES} bootstrap samples of the ablated features (seed {report.seed}); "
        "for Spearman's with the ranks of the whole sample. They say nothing of other prompts.",
        "The circuit on its own: every feature and error outside of it is ablated wherever it writes; what it keeps "
        "answers to the rest.",
    )
    return "<ul>" + "".join(f"<li>{escape(point)}</li>" for point in points) + "</ul>"


def _table(title: str, note: str, heads: list[str], rows: list[list[str]], *, texts: int = 1) -> str:
    def line(tag: str, cells: list[str]) -> str:
        marks = (' class="text"' if index < texts else "" for index in range(len(cells)))
        return "<tr>" + "".join(f"<{tag}{mark}>{escape(cell)}</{tag}>" for mark, cell in zip(marks, cells)) + "</tr>"

    caption = f"<caption><b>{escape(title)}.</b> {escape(note)}</caption>"
    body = "".join(line("td", row) for row in rows)
    return f"<table>{caption}<thead>{line('th', heads)}</thead><tbody>{body}</tbody></table>"
