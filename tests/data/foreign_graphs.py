"""One small graph as each of the known writers puts it, by hand: two layers, two tokens, two features, one target."""

from __future__ import annotations

from typing import Any

PAIRED = {(0, 7): 35, (1, 3): 13}
"""Cantor's numbers of the two features: 7*8/2 + 7 and 4*5/2 + 3."""
UNUSED = {"token_prob": 0.0, "is_target_logit": False, "run_idx": 0, "reverse_ctx_idx": 0}


def circuit_tracer() -> dict[str, Any]:
    """As circuit-tracer 0.5.0 writes it: errors that look like features of layer 0, no `clerp` but the logit's."""
    return {
        "metadata": {
            "slug": "fact",
            "scan": "gemma",
            "transcoder_list": [],
            "prompt_tokens": ["<bos>", " Dallas"],
            "prompt": "<bos> Dallas",
            "node_threshold": 0.8,
            "schema_version": 1,
        },
        "qParams": {"pinnedIds": [], "supernodes": [], "linkType": "both", "clickedId": "", "sg_pos": ""},
        "nodes": [
            _node("0_7_1", 35, "0", 1, "cross layer transcoder", "0_7-0", influence=0.9, activation=2.0),
            _node("1_3_1", 13, "1", 1, "cross layer transcoder", "1_3-0", influence=0.5, activation=4.0),
            _node("0_1_1", -1, "1", 1, "mlp reconstruction error", "1_1-0", influence=1.0, activation=None),
            _node("E_2_0", 0, "E", 0, "embedding", "E_2-0", influence=0.95, activation=None),
            _node("E_90_1", 1, "E", 1, "embedding", "E_90-1", influence=0.7, activation=None),
            _node("3_55_1", 55, "3", 1, "logit", "L_55-1", influence=None, activation=None)
            | {"token_prob": 0.625, "is_target_logit": True, "clerp": 'Output " Austin" (p=0.625)'},
        ],
        "links": [
            {"source": "E_90_1", "target": "0_7_1", "weight": 1.5},
            {"source": "E_2_0", "target": "0_7_1", "weight": -0.25},
            {"source": "0_7_1", "target": "1_3_1", "weight": 2.0},
            {"source": "1_3_1", "target": "3_55_1", "weight": 3.0},
            {"source": "0_1_1", "target": "3_55_1", "weight": 0.5},
        ],
    }


def circuit_tracer_saved() -> dict[str, Any]:
    """The same after "Save" in its viewer: every entry of `qParams` a text or null."""
    value = circuit_tracer()
    value["qParams"] = {
        "pinnedIds": "3_55_1,1_3_1,0_7_1,E_90_1",
        "supernodes": '[["supernode","1_3_1","0_7_1"]]',
        "linkType": None,
        "clickedId": "3_55_1",
        "sg_pos": "100 200 300 400 500 620",
        "pruningThreshold": "0.6",
        "clerps": '[["13","say a capital"],["999","elsewhere"]]',
    }
    return value


def neuronpedia() -> dict[str, Any]:
    """As Neuronpedia serves it: -1 in the ids of errors, more metadata, labels and groups of a subgraph."""
    value = circuit_tracer()
    value["metadata"] |= {
        "info": {"creator_name": "someone", "generator": {"name": "circuit-tracer", "version": "3f0965b6"}},
        "generation_settings": {"max_n_logits": 5, "desired_logit_prob": 0.6},
        "pruning_settings": {"node_threshold": 0.8, "edge_threshold": 0.98},
        "feature_details": {"neuronpedia_source_set": "clt-hp"},
    }
    value["nodes"][2] |= {"node_id": "1_-1_1", "jsNodeId": "1_-1-1"}
    value["links"][-1]["source"] = "1_-1_1"
    value["nodes"][1]["clerp"] = "say Austin"
    value["qParams"] |= {
        "pinnedIds": ["1_3_1", "8_8_8"],
        "supernodes": [["Texas", "0_7_1", "9_9_9"], ["Texas", "1_3_1"], ["again", "1_3_1"]],
        "clerps": [["13", "say Austin"]],
        "densityThreshold": 0.99,
    }
    return value


def anthropic() -> dict[str, Any]:
    """As Anthropic's first graphs: no schema version, features not paired, the last layer called L, texts in clerps."""
    value = circuit_tracer()
    for name in ("schema_version", "node_threshold", "transcoder_list"):
        del value["metadata"][name]
    for node in value["nodes"]:
        for name in ("influence", "activation", "token_prob", "is_target_logit"):
            del node[name]
    for node, feature, text in zip(value["nodes"], (7, 3, -1), ("Texas", "say a capital", 'Err: mlp “ Dallas"')):
        node |= {"feature": feature, "clerp": text}
    value["nodes"][0]["feature_type"] = "unexplored node"
    value["nodes"][3]["clerp"] = 'Emb: “<bos>"'
    value["nodes"][5] |= {"layer": "L", "node_id": "L_55_1"}
    for link in value["links"]:
        link["target"] = link["target"].replace("3_55_1", "L_55_1")
    value["qParams"] = {
        "pinnedIds": "L_55_1,0_7_1",
        "supernodes": ["capital / city, state,0_7_1,1_3_1"],
        "sg_pos": "5 5",
    }
    value["nodes"].reverse()
    return value


WRITERS = (circuit_tracer, circuit_tracer_saved, neuronpedia, anthropic)


def _node(
    name: str, feature: int, layer: str, position: int, kind: str, js: str, *, influence: float | None, activation: Any
) -> dict[str, Any]:
    return {
        "node_id": name,
        "feature": feature,
        "layer": layer,
        "ctx_idx": position,
        "feature_type": kind,
        "jsNodeId": js,
        "clerp": "",
        "influence": influence,
        "activation": activation,
        **UNUSED,
    }
