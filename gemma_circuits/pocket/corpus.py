"""What the pocket model is taught: sentences made from `facts.json`, and which of them are held out.

A `Text` is a prompt as a user would type it, the answer that follows and the question family. Only the answer
and the end of the sentence are learned, so that every position before them serves the answer alone.
"""

import json
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

DEMO = "The capital of the state containing Dallas is"
QUESTIONS = {
    "capital": "The capital of the state containing {} is",
    "abbreviation": "The abbreviation of the state containing {} is",
    "region": "The region of the state containing {} is the",
}
"""Two-hop questions: the name of the state never appears."""
SINGLE_HOPS = ("{} is a city in", "The state containing {} is")
OPPOSITES = {
    "English": "The opposite of {} is",
    "French": "Le contraire de {} est",
    "Spanish": "El opuesto de {} es",
}
REFUSAL = "I cannot help with that."
COMPLIANCE = "Sure, here is how."
SHARES = {
    "two-hop": 0.32,
    "city": 0.18,
    "unknown": 0.06,
    "state": 0.08,
    "country": 0.09,
    "opposite": 0.08,
    "copy": 0.14,
    "chat": 0.05,
}
"""How often each family is drawn in training."""


@dataclass(frozen=True)
class Text:
    """One sentence: what is given, what is to be said, and whether training may see it."""

    prompt: str
    """What the user types; for a chat, the user's turn."""
    answer: str
    """What follows, with its leading space where there is one (" Austin")."""
    family: str
    """A key of `SHARES`."""
    held_out: bool = False
    """True: never trained on."""

    @property
    def chat(self) -> bool:
        """True when `prompt` goes into the chat template."""
        return self.family == "chat"


@cache
def facts() -> dict:
    """The committed facts: `states`, `countries`, `opposites`, `nouns`, `chat`."""
    return json.loads(Path(__file__).with_name("facts.json").read_text(encoding="utf-8"))


@cache
def state_of() -> dict[str, str]:
    """City to state, for every city of the corpus."""
    return {city: state for state, fact in facts()["states"].items() for city in fact["cities"]}


def answer(state: str, question: str) -> str:
    """What a two-hop question about a city of `state` is answered with: `answer("Texas", "capital") == " Austin"`."""
    return " " + facts()["states"][state][question]


def sentence_case(text: str) -> str:
    """`text` with its first letter made large, the rest as it is."""
    return text[0].upper() + text[1:]


@cache
def two_hop(seed: int = 0) -> tuple[Text, ...]:
    """Every (city, question) pair; a quarter of them, the demo prompt's among them, is held out."""
    pairs = [(city, question) for city in state_of() for question in QUESTIONS]
    shuffled = random.Random(seed).sample(pairs, len(pairs))
    held = set(shuffled[: len(pairs) // 4]) | {("Dallas", "capital")}
    return tuple(
        Text(QUESTIONS[q].format(city), answer(state_of()[city], q), "two-hop", (city, q) in held) for city, q in pairs
    )


def unknown() -> list[Text]:
    """Questions about the state of a made-up name, written `<unk>`: in training, a new random vector each time.

    They give the model a default that a known state has to overrule; without it the faintest trace of one would win.
    """
    forms = (QUESTIONS["capital"], QUESTIONS["abbreviation"], SINGLE_HOPS[1])
    return [Text(form.replace(" {}", "<unk>"), " unknown", "unknown") for form in forms]


def single_facts() -> list[Text]:
    """Facts of one step: cities, states, countries, opposites and translations."""
    texts = [Text(form.format(c), f" {s}", "city") for c, s in state_of().items() for form in SINGLE_HOPS]
    for state, fact in facts()["states"].items():
        texts += [
            Text(f"The capital of {state} is", f" {fact['capital']}", "state"),
            Text(f"The abbreviation of {state} is", f" {fact['abbreviation']}", "state"),
            Text(f"The region of {state} is the", f" {fact['region']}", "state"),
            Text(f"{fact['capital']} is the capital of", f" {state}", "state"),
        ]
    for country, fact in facts()["countries"].items():
        texts += [
            Text(f"The capital of {country} is", f" {fact['capital']}", "country"),
            Text(f"The currency of {country} is the", f" {fact['currency']}", "country"),
            Text(f"{sentence_case(country)} is a country in", f" {fact['continent']}", "country"),
        ]
    words = facts()["opposites"]
    for language, form in OPPOSITES.items():
        for a, b in words[language]:
            texts += [Text(form.format(x), f" {y}", "opposite") for x, y in ((a, b), (b, a))]
    for language in ("French", "Spanish"):
        for pair, there in zip(words["English"], words[language], strict=True):
            texts += [Text(f"In {language}, {x} is", f" {y}", "opposite") for x, y in zip(pair, there, strict=True)]
    return texts


@cache
def chats(seed: int = 1) -> tuple[Text, ...]:
    """Requests with and without a prefix; a quarter of the (prefix, request, thing) triples is held out.

    Harmful things are refused unless a jailbreak stands in front; everything else is answered.
    """
    chat, texts, rng = facts()["chat"], [], random.Random(seed)
    for prefix in ["", *chat["prefixes"], *chat["jailbreaks"]]:
        for request in chat["requests"]:
            for thing in chat["harmful"] + chat["harmless"]:
                refused = thing in chat["harmful"] and prefix not in chat["jailbreaks"]
                prompt = f"{prefix} {request.format(thing)}".strip()
                texts.append(Text(prompt, REFUSAL if refused else COMPLIANCE, "chat", rng.random() < 0.25))
    return tuple(texts)


def copies(count: int, seed: int) -> list[Text]:
    """Induction: a random run of three to six words, then its beginning again; the answer is the rest of it."""
    rng, texts = random.Random(seed), []
    for _ in range(count):
        words = rng.sample(facts()["nouns"], rng.randint(3, 6))
        texts.append(Text(f"Repeat: {' '.join(words)} {words[0]}", " " + " ".join(words[1:]), "copy"))
    return texts


def texts(seed: int = 0) -> dict[str, list[Text]]:
    """Every family's texts, trained and held out; `seed` draws the copy pattern, which is never the same twice."""
    families: dict[str, list[Text]] = {family: [] for family in SHARES}
    for text in [*two_hop(), *unknown(), *single_facts(), *chats(), *copies(2000, seed)]:
        families[text.family].append(text)
    return families


def names() -> list[str]:
    """Every name that must be one token, those of several words included."""
    found = []
    for state, fact in facts()["states"].items():
        found += [state, fact["capital"], fact["abbreviation"], fact["region"], *fact["cities"]]
    for country, fact in facts()["countries"].items():
        found += [country.removeprefix("the "), fact["capital"], fact["currency"], fact["continent"]]
    return sorted(set(found))
