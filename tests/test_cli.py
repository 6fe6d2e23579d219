"""The command line: what it prints equals what Python gives, and its exit codes mean something."""

from __future__ import annotations

import argparse
import io
import json
import pickle
import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest
import torch
from goldens import GOLDEN

import gemma_circuits as gmc
from gemma_circuits.cli import commands, main
from gemma_circuits.cli.parser import build_parser
from gemma_circuits.cli.report import plain
from gemma_circuits.cli.told import told
from gemma_circuits.transcoders.catalogue import Entry

MODEL, CLT = GOLDEN / "gemma2" / "model", GOLDEN / "gemma2" / "clt" / "width_96_l0_medium"
OPENED = ["--model", str(MODEL), "--transcoder", str(CLT)]
PROMPT = "w9 w4 w5 w6"
SCRIPT = Path(sys.executable).with_name("gemma-circuits")


@pytest.fixture(scope="module")
def opened() -> gmc.ReplacementModel:
    return gmc.load(MODEL, CLT)


@pytest.fixture(scope="module")
def graph(opened) -> gmc.Graph:
    return gmc.attribute(opened, PROMPT, progress=False)


@pytest.fixture
def saved(graph, tmp_path) -> Path:
    return graph.save(tmp_path / "graph.safetensors")


@pytest.fixture
def run(capsys):
    """Run a command: its exit code, and what it printed to both streams."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def value(run):
    """The JSON that a command prints."""

    def value(*words: object):
        code, out, err = run(*words, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return value


def options(command: str) -> dict[str, argparse.Action]:
    """Arguments of a command by the name that Python has for them."""
    groups = build_parser()._subparsers
    assert groups is not None
    choices = groups._group_actions[0].choices
    assert isinstance(choices, dict)
    return {action.dest: action for action in choices[command]._actions}


def describes(said: dict, shown: gmc.Graph | gmc.Circuit) -> None:
    """Check a report against what it reports."""
    assert said["prompt"] == shown.prompt and said["tokens"] == list(shown.tokens)
    assert [target["token"] for target in said["targets"]] == [target.token for target in shown.targets]
    assert [target["probability"] for target in said["targets"]] == pytest.approx(
        [target.probability for target in shown.targets], rel=1e-4
    )
    assert (said["replacement"], said["completeness"]) == pytest.approx(shown.scores(), rel=1e-4)
    assert said["nodes"] == {kind: len(shown.nodes.where(kind=kind)) for kind in said["nodes"]}
    links, kinds = shown.links(), getattr(shown, "graph", shown).nodes.kind
    ends = [f"{kinds[source]} to {kinds[target]}" for source, target in zip(links.source, links.target)]
    assert said["edges"] == {kind: ends.count(kind) for kind in said["edges"]} and sum(said["edges"].values()) == len(
        ends
    )
    for row in said["features"]:
        node = shown.node(row["layer"], row["position"], row["feature"])
        assert row["activation"] == pytest.approx(node.activation, rel=1e-4)
        assert row["influence"] == pytest.approx(shown.influence[node.index].item(), rel=1e-4)
    strongest = shown.influence[shown.nodes.where(kind="feature").index].sort(descending=True).values[:10]
    assert [row["influence"] for row in said["features"]] == pytest.approx(strongest.tolist(), rel=1e-4)


# -- the same names, defaults and words as Python


@pytest.mark.parametrize(
    "command, function, left_out",
    [
        ("attribute", gmc.attribute, {"model", "progress"}),
        ("attribute", gmc.estimate, {"model"}),
        ("attribute", gmc.load, set()),
        ("prune", gmc.Graph.prune, {"self"}),
        ("convert", gmc.convert, {"progress"}),
    ],
)
def test_every_python_argument_has_its_option_and_default(command, function, left_out):
    there = options(command)
    for name, parameter in signature(function).parameters.items():
        if name in left_out:
            continue
        assert name in there, f"{command} lacks {name}"
        if parameter.default is not parameter.empty:
            assert there[name].default == parameter.default
            assert parameter.default is None or f"(default: {parameter.default})" in str(there[name].help)


@pytest.mark.parametrize("command", ["attribute", "prune", "info", "convert", "catalogue", "lab"])
def test_every_option_is_explained_in_words_of_the_command_line(run, command):
    assert all(action.help for action in options(command).values())
    code, out, _ = run(command, "--help")
    assert code == 0 and out.startswith(f"usage: gemma-circuits {command}")
    assert "None" not in out and "`" not in out and "%" not in out


def test_texts_are_those_of_the_docstrings():
    text = told("data", "Graph.prune")["node_threshold"].text
    assert text == "share of the influence of all nodes, 0 to 1"
    assert text in " ".join(str(gmc.Graph.prune.__doc__).split())
    assert told("models", "load")["model"].text.startswith("a hub id or a local folder; without it, the pocket model")


def test_help_and_version(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(word in out for word in ("attribute", "prune", "info", "convert", "catalogue", "lab", "exit codes"))
    assert all(f"\n  {code:<5}" in out for code in (0, 1, 2, 3, 4, 130, 141))
    assert run("--version") == (0, f"gemma-circuits {gmc.__version__}\n", "")


# -- attribute


def test_attribute_prints_and_writes_what_python_gives(run, value, graph, tmp_path):
    file = tmp_path / "graph.safetensors"
    said = value("attribute", PROMPT, *OPENED, "--out", file)
    describes(said, graph)
    assert said["out"] == str(file)
    assert said["check"] < 1e-4
    assert said["metadata"] == graph.metadata
    torch.testing.assert_close(gmc.Graph.load(file).edges, graph.edges)
    code, out, err = run("attribute", PROMPT, *OPENED)
    assert (code, err) == (0, "")
    assert f"replacement {graph.scores().replacement:.3f}, completeness {graph.scores().completeness:.3f}" in out
    assert all(repr(target.token) in out and f"{target.probability:.3f}" in out for target in graph.targets)
    assert "1 features" not in out and str(tmp_path) not in out


def test_attribute_passes_every_setting_on(value, opened):
    settings = {"position": -2, "max_features": 20, "batch_size": 8}
    words = ("--position", -2, "--max-features", 20, "--batch-size", 8, "--target", "w9", "--target", "id:17")
    describes(
        value("attribute", PROMPT, *OPENED, *words),
        gmc.attribute(opened, PROMPT, targets=["w9", 17], **settings, progress=False),
    )
    words = ("--max-logits", 4, "--logit-mass", 0.1, "--max-features", "all")
    said = value("attribute", PROMPT, *OPENED, *words)
    describes(said, gmc.attribute(opened, PROMPT, max_logits=4, logit_mass=0.1, max_features=None, progress=False))
    assert said["metadata"]["max_features"] is None


def test_attribute_reads_standard_input(value, graph, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PROMPT}\n"))
    assert value("attribute", "-", *OPENED)["prompt"] == graph.prompt


def test_bytes_that_are_no_text_are_bad_input(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff"), "utf-8"))
    for prompt in ("-", "\udcff"):
        code, _, err = run("attribute", prompt, *OPENED)
        assert code == 3 and "PROMPT: expected text" in err


def test_attribute_writes_neuronpedia_json(run, opened, tmp_path):
    file = tmp_path / "graph.json"
    code, out, _ = run("attribute", PROMPT, *OPENED, "--target", "w9", "--out", file)
    assert code == 0 and out.endswith(f"written to {file}\n")
    graph = gmc.attribute(opened, PROMPT, targets="w9", progress=False)
    assert json.loads(file.read_text())["metadata"] == graph.to_neuronpedia()["metadata"]


def test_attribute_takes_a_users_turn(value, random_model, monkeypatch):
    model = random_model("chat")
    monkeypatch.setattr("gemma_circuits.models.load", lambda *_, **__: model)
    describes(
        value("attribute", "Hello is", "--chat"),
        gmc.attribute(model, [{"role": "user", "content": "Hello is"}], progress=False),
    )


def test_attribute_estimates(run, value, opened):
    wanted = gmc.estimate(opened, PROMPT, max_features=20)
    said = value("attribute", PROMPT, *OPENED, "--max-features", 20, "--estimate")
    assert (said["active"], said["rows"]) == (wanted.active, wanted.rows)
    assert said["seconds"] > 0 and said["memory"] > 0
    code, out, _ = run("attribute", PROMPT, *OPENED, "--max-features", 20, "--estimate")
    assert code == 0 and f"{wanted.rows} rows of {wanted.active} active features" in out


def test_quiet_says_nothing(run, tmp_path):
    assert run("attribute", PROMPT, *OPENED, "--quiet", "--out", tmp_path / "graph.json") == (0, "", "")


@pytest.mark.filterwarnings("default")
def test_warnings_take_one_line(run):
    code, _, err = run(
        "attribute", "w9", *OPENED[:2], "--transcoder", CLT.parents[2] / "gemma2_affine/clt" / f"{CLT.name}_affine"
    )
    assert code == 0
    assert err == "gemma-circuits: warning: the transcoder was trained on gemma2_affine, and is used here on model\n"


# -- prune, info


def test_prune_counts_what_is_left(run, value, graph, saved, tmp_path):
    file = tmp_path / "circuit.safetensors"
    words = ("--node-threshold", 0.6, "--edge-threshold", 0.9)
    circuit = graph.prune(0.6, 0.9)
    describes(value("prune", saved, *words, "--out", file), circuit)
    assert gmc.Circuit.load(file).node_mask.equal(circuit.node_mask)
    _, out, _ = run("prune", saved, *words)
    kept, whole = (len(shown.nodes.where(kind="feature")) for shown in (circuit, graph))
    assert ["nodes,", "feature", str(kept), str(whole)] in [line.split() for line in out.splitlines()]
    describes(value("prune", saved), graph.prune())


def test_prune_goes_on_from_a_circuit_and_from_json(value, graph, tmp_path):
    circuit = graph.prune()
    file = circuit.save(tmp_path / "circuit.safetensors")
    describes(value("prune", file, "--out", tmp_path / "smaller.json"), circuit.prune())
    describes(value("prune", tmp_path / "smaller.json"), gmc.Graph.from_neuronpedia(tmp_path / "smaller.json").prune())


def test_info_of_graphs(run, value, graph, saved, tmp_path):
    circuit = graph.prune(0.7)
    pruned = circuit.save(tmp_path / "circuit.safetensors")
    circuit.to_neuronpedia(tmp_path / "circuit.json")
    files = (saved, pruned, tmp_path / "circuit.json")
    said = value("info", *files)
    assert [part["type"] for part in said] == ["graph", "circuit", "graph"]
    assert [part["bytes"] for part in said] == [file.stat().st_size for file in files]
    describes(said[0], graph)
    describes(said[1], circuit)
    describes(said[2], gmc.Graph.from_neuronpedia(files[2]))
    assert said[0]["metadata"]["transcoder_hash"] == graph.metadata["transcoder_hash"]
    assert said[1]["metadata"]["node_threshold"] == 0.7
    assert said[2]["check"] is None
    code, out, _ = run("info", *files)
    assert code == 0
    assert graph.metadata["model_hash"] in out and "check unknown" in out and out.count("replacement") == 3


def test_info_of_a_transcoder(run, value):
    code, out, _ = run("info", CLT)
    assert code == 0 and out == f"{CLT}: {gmc.open_transcoder(CLT)!r}\n"
    said = value("info", CLT)
    assert (said[0]["kind"], said[0]["n_features"], said[0]["layers"]) == ("clt", 24, [0, 1, 2, 3])


class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit('opened')",)


@pytest.mark.parametrize("name", ["graph.pt", "graph.pkl", "graph.safetensors", "graph.json", "graph"])
@pytest.mark.parametrize(
    "write", [lambda file: file.write_bytes(pickle.dumps(Trap())), lambda file: torch.save(Trap(), file)]
)
def test_a_pickle_is_refused_unopened(run, tmp_path, name, write):
    write(tmp_path / name)
    for command in ("info", "prune"):
        code, out, err = run(command, tmp_path / name)
        assert (code, out) == (3, "") and "got a pickle" in err


# -- convert, catalogue, lab


def test_convert_writes_another_layout(run, tmp_path):
    words = ("convert", CLT, tmp_path / "clt", "--layout", "circuit-tracer")
    assert run(*words) == (0, f"written to {tmp_path / 'clt'}\n", "")
    features = torch.arange(3)
    torch.testing.assert_close(
        gmc.open_transcoder(tmp_path / "clt").encoder(1, features), gmc.open_transcoder(CLT).encoder(1, features)
    )
    code, _, err = run(*words)
    assert code == 3 and "does not exist yet" in err
    code, _, err = run("convert", CLT, tmp_path / "other", "--layout", "zip")
    assert code == 3 and "expected one of gemma-scope-1, gemma-scope-2, circuit-tracer, got 'zip'" in err


def test_catalogue_of_models(run, value):
    models = value("catalogue")
    assert run("catalogue")[1].split() == models
    assert all(len(gmc.catalogue(model)) for model in models)
    with pytest.raises(gmc.errors.UnsupportedModelError, match=f"expected one of {', '.join(models)}, got"):
        gmc.catalogue("gemma")


def test_catalogue_of_one_model(run, value):
    def as_value(entries) -> list[dict]:
        return json.loads(json.dumps([vars(entry) for entry in entries]))

    whole = gmc.catalogue("gemma-3-1b-it")
    assert value("catalogue", "google/gemma-3-1b-it") == as_value(whole)
    words = ("--site", "mlp_in", "--kind", "clt", "--width", "262k", "--l0", "big", "--no-affine")
    wanted = whole.where(site="mlp_in", kind="clt", width="262k", l0="big", affine=False)
    assert len(wanted) == 1 and value("catalogue", whole.model, *words) == as_value(wanted)
    assert value("catalogue", whole.model, "--affine") == as_value(whole.where(affine=True))
    out = run("catalogue", whole.model)[1].splitlines()
    assert out[0] == f"{len(whole)} transcoders of {whole.model}"
    assert [line.split()[0] for line in out[2:]] == [entry.id for entry in whole]
    code, _, err = run("catalogue", whole.model, "--site", "mlp")
    assert code == 3 and "--site: expected one of mlp_in, " in err
    assert set(commands.FILTERS) <= set(Entry.__annotations__)


@pytest.fixture
def started(monkeypatch, tmp_path) -> list[list[str]]:
    """What `lab` would have become; the current folder is an empty one."""
    calls: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, words: calls.append(words))
    monkeypatch.chdir(tmp_path)
    return calls


def test_lab_starts_on_this_machine_only(run, started, tmp_path):
    (tmp_path / "other").mkdir()
    assert run("lab")[0] == 0
    (tmp_path / "notebooks").mkdir()
    assert run("lab", "--port", "9000", "--no-browser")[0] == 0
    assert run("lab", "other", "--port", "9000", "extra")[0] == 0
    fixed = [sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1"]
    assert started == [
        [*fixed, f"--ServerApp.root_dir={tmp_path}"],
        [*fixed, f"--ServerApp.root_dir={tmp_path / 'notebooks'}", "--port", "9000", "--no-browser"],
        [*fixed, f"--ServerApp.root_dir={tmp_path / 'other'}", "--port", "9000", "extra"],
    ]


def test_lab_needs_its_folder(run, started):
    code, _, err = run("lab", "nowhere")
    assert (code, started) == (3, []) and err == "gemma-circuits: lab: expected a folder that exists, got nowhere\n"


def test_lab_is_jupyterlab():
    done = subprocess.run([SCRIPT, "lab", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("4.")


# -- exit codes


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "COMMAND"),
        (["trace", "w9"], "invalid choice: 'trace'"),
        (["info"], "FILE"),
        (["info", "a", "--what"], "unrecognized arguments: --what"),
        (["attribute", "w9", "--position", "last"], "invalid int value: 'last'"),
        (["attribute", "w9", "--max-features", "most"], "expected a number or all, got 'most'"),
        (["attribute", "w9", "--out", "graph.pt"], "expected a name ending in .safetensors or .json, got 'graph.pt'"),
        (["convert", "a", "b"], "--layout"),
    ],
)
def test_wrong_usage_is_2(run, words, said):
    code, out, err = run(*words)
    assert (code, out) == (2, "") and "usage:" in err and said in err


@pytest.mark.parametrize(
    "words, said",
    [
        (["attribute", "", *OPENED], "at least one token besides <bos>"),
        (["attribute", "w9", *OPENED, "--chat"], "a model with a chat template"),
        (["attribute", "w9", *OPENED, "--target", "w9 w4"], "target 'w9 w4': expected one token"),
        (["attribute", "w9", *OPENED, "--target", "id:9999"], "a token id from 0 to"),
        (["attribute", "w9", *OPENED, "--position", "7"], "position: expected"),
        (["attribute", "w9", *OPENED, "--max-features", "0"], "max_features: expected 1 or more"),
        (["attribute", "w9", *OPENED, "--dtype", "int8"], "dtype: expected one of float32"),
        (["attribute", "w9", "--model", "org/none", "--transcoder", str(CLT)], "org/none"),
        (["attribute", "w9", "--model", str(MODEL), "--transcoder", "none"], "none: expected a folder"),
        (["info", "none.safetensors"], "none.safetensors: expected a file to read, got No such file or directory"),
        (["info", "none"], "none: expected a folder"),
        (["info", str(MODEL / "model.safetensors")], "expected a graph of gemma_circuits, got other tensors"),
        (["info", str(MODEL / "config.json")], "expected a graph as Neuronpedia's JSON"),
        (["prune", str(MODEL)], "got Is a directory"),
        (["catalogue", "gemma-3-2b-it"], "did you mean gemma-3-"),
    ],
)
def test_bad_input_is_3_and_one_line(run, words, said):
    code, out, err = run(*words)
    assert (code, out) == (3, "")
    assert err.startswith("gemma-circuits: ") and said in err and err.count("\n") == 1


def test_a_threshold_out_of_range_is_3(run, saved):
    code, _, err = run("prune", saved, "--node-threshold", 2)
    assert code == 3 and "node_threshold: expected 0 to 1, got 2.0" in err


def test_what_cannot_be_written_is_4(run, saved, tmp_path):
    (tmp_path / "taken.json").mkdir()
    for out in (tmp_path / "taken.json", tmp_path / "nowhere" / "circuit.safetensors"):
        code, printed, err = run("prune", saved, "--out", out)
        assert (code, printed) == (4, "") and str(out) in err and err.count("\n") == 1


def test_a_missing_folder_is_found_out_before_the_work(run, monkeypatch, tmp_path):
    monkeypatch.setattr("gemma_circuits.models.load", lambda *_, **__: pytest.fail("loaded"))
    assert run("attribute", "w9", "--out", tmp_path / "nowhere" / "graph.json")[0] == 4


def raising(error: BaseException):
    def fail(*_, **__):
        raise error

    return fail


def test_an_error_inside_is_1_with_its_traceback(run, saved, monkeypatch):
    monkeypatch.setattr(gmc.Graph, "load", raising(RuntimeError("boom")))
    code, out, err = run("info", saved)
    assert (code, out) == (1, "") and "Traceback" in err and "RuntimeError: boom" in err and "report" in err


def test_an_interruption_is_130(run, saved, monkeypatch):
    monkeypatch.setattr(gmc.Graph, "load", raising(KeyboardInterrupt()))
    assert run("info", saved) == (130, "", "gemma-circuits: interrupted\n")


def test_the_installed_script_is_quiet_when_its_reader_leaves():
    with subprocess.Popen([SCRIPT, "catalogue", "gemma-3-1b-it"], stdout=-1, stderr=-1) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 141)


def test_files_of_others_do_not_steer_the_terminal(run, opened, tmp_path):
    assert plain("a\x1b[31m\nb\x9b é") == "a\\x1b[31m\\nb\\x9b é"
    value = gmc.attribute(opened, "w9", targets="w9", progress=False).to_neuronpedia()
    value["metadata"] |= {"prompt": "\x1b[31m", "prompt_tokens": ["\x1b[31m"] * 2, "\x1b[31m": "\x1b[31m"}
    (tmp_path / "graph.json").write_text(json.dumps(value))
    code, out, _ = run("info", tmp_path / "graph.json")
    assert code == 0 and "\x1b" not in out
