"""Text survives the tokenizer; the names of the notebooks are one token."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma_circuits.pocket import corpus

# Gemma's "▁" stands for a space, so a text's own cannot come back; lone surrogates are no text.
anything = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=60)
words = st.lists(st.sampled_from(["Dallas", " New York", " is", "12", "\n", "ñ", "日本", " ", "x", "."]), max_size=12)


@settings(max_examples=300, deadline=None)
@given(text=anything | words.map("".join))
def test_text_comes_back(tok, text: str):
    assert tok.decode(tok(text, add_special_tokens=False).input_ids) == text
    assert tok.decode(tok(text).input_ids, skip_special_tokens=True) == text


def test_bos_in_front(tok):
    assert tok(" Dallas").input_ids[0] == tok.bos_token_id == 2
    assert (tok.pad_token_id, tok.eos_token_id, tok.unk_token_id) == (0, 1, 3)


def test_names_are_single_tokens(tok):
    names = corpus.names()
    assert {"Dallas", "Texas", "Austin", "New York", "Los Angeles", "TX", "South", "France", "euro"} <= set(names)
    ids = [tok(f" {n}", add_special_tokens=False).input_ids for n in names]
    assert all(len(i) == 1 for i in ids)
    assert len({i[0] for i in ids}) == len(names)
    assert all(len(tok(n, add_special_tokens=False).input_ids) == 1 for n in names)


@pytest.mark.parametrize("text", ["1234", "calc: 36+59="])
def test_digits_stand_alone(tok, text):
    assert all(not c.isdigit() or c in tok.tokenize(text) for c in text)
    assert all(len(t) == 1 for t in tok.tokenize(text) if any(c.isdigit() for c in t))


def test_chat_template(tok):
    turns = [{"role": "user", "content": "Good morning."}, {"role": "assistant", "content": "Sure"}]
    text = tok.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    assert text == "<bos><start_of_turn>user\nGood morning.<end_of_turn>\n<start_of_turn>model\n"
    ids = tok.apply_chat_template(turns[:1], add_generation_prompt=True, return_dict=False)
    assert tok.convert_ids_to_tokens(ids[:4]) == ["<bos>", "<start_of_turn>", "user", "\n"]
    assert ids.count(tok.bos_token_id) == 1
    both = tok.apply_chat_template(turns, tokenize=False)
    assert both.endswith("<start_of_turn>model\nSure<end_of_turn>\n")
