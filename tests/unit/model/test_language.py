"""Finding a text's language, and refusing none that a model may read."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.languages import sentences
from model.language import LEAST_BYTES, MOST_CHARS, Languages, as_codes, stated
from model.samples import gate_texts
from model.text import clean

ENGLISH = Languages(["en"])
GERMAN = "Ich warte jetzt seit zwei Stunden am Bahnhof und niemand sagt uns etwas."


@pytest.mark.parametrize("name", ["tuned.tsv", "heldout.tsv"])
def test_sentences_in_other_languages(name: str) -> None:
    """Of sentences in languages that the model does not read, at most 5 % are taken for its own; none for English."""
    found = [(code, ENGLISH.find(text)) for code, text in sentences(name)]
    missed = [code for code, one in found if not one.foreign]
    assert len(missed) <= 0.05 * len(found), missed
    assert [code for code, one in found if one.code == "en"] == []


@pytest.mark.parametrize(
    "text",
    [
        "Mario Rossi, Anna Bianchi and Giulia Ferrari at Teatro San Carlo",
        "Bayern Munich vs Borussia Dortmund live stream",
        "Rendezvous at Cafe de Paris Monte Carlo",
    ],
)
def test_names_are_not_foreign(text: str) -> None:
    """A language that leads by little is not sure: a text full of foreign names is scored."""
    assert ENGLISH.find(text).code != "en"
    assert not ENGLISH.find(text).foreign


def test_drawn_out_letters_say_nothing() -> None:
    """A letter that is repeated without end does not make a text foreign, nor long enough to tell its language."""
    languages = Languages(["en"])
    for text in ("a" * 5000, "n" + "o" * 60, "so good " + "y" * 80 + "e" * 80 + "s"):
        assert not languages.find(text).foreign


def test_a_clear_lead() -> None:
    """A text without accents that has words of English, too, is foreign all the same."""
    assert ENGLISH.find("ma come si fa a perdere una partita del genere in casa").foreign


def test_english_is_not_foreign() -> None:
    """No English tweet, review or complaint of ours is taken for another language."""
    texts = gate_texts()
    english = texts[: next(n for n, text in enumerate(texts) if text.startswith("Die neue Wohnung"))]
    assert len(english) > 100
    assert [text for text in english if ENGLISH.find(text).foreign] == []


@pytest.mark.parametrize(
    "text",
    ["Danke schön", "c'est nul", "gracias amigo", "no", "OK", "@user gracias http #gracias #muchasgracias"],
)
def test_too_short_to_tell(text: str) -> None:
    """A text with few words is foreign to no model, however likely another language is."""
    assert not ENGLISH.find(clean(text)).foreign


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("太好了", None),
        ("ดีมาก", "th"),
        ("ужас", None),
        ("😍 最高 #love @anna", None),
        ("ផលិតផលនេះល្អណាស់ខ្ញុំចូលចិត្តវាខ្លាំងណាស់", None),
        ("ဒီပစ္စည်းက အရမ်းကောင်းတယ်", None),
    ],
)
def test_letters_that_are_not_read(text: str, code: str | None) -> None:
    """A text without a letter that the model's languages are written with is foreign, however short, and even if nobody
    can tell its language; to a model that reads such a language it is not.
    """
    found = ENGLISH.find(clean(text))
    assert (found.code, found.foreign, found.words) == (code, True, True)
    assert not Languages(["en", "ru"]).find(clean("太好了")).foreign
    assert not Languages(["hr"]).find(clean("ужас")).foreign


@pytest.mark.parametrize(
    "text", ["ツ", "ಠ_ಠ", "(づ｡◕‿‿◕｡)づ", "π r²", "ɪ ʟᴏᴠᴇ ɪᴛ", "10 kΩ", "ʕ•ᴥ•ʔ", "很好 ok", "𝐈 𝐡𝐚𝐭𝐞 𝐢𝐭"]
)
def test_single_signs_and_latin_letters_are_not_foreign(text: str) -> None:
    """A letter alone, faces that are drawn with one, and styled Latin letters do not make a text foreign."""
    assert not ENGLISH.find(clean(text)).foreign


def test_what_is_unseen_within_words() -> None:
    """Soft hyphens and the like do not cut words."""
    plain = "The terrible customer service was unbelievable"
    cut = plain.replace("rri", "r\u00adri").replace("serv", "ser\u200bv").replace("beli", "be\u2060li")
    assert ENGLISH.find(clean(cut)) == ENGLISH.find(plain)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("@anna @ben", False),
        ("https://example.org/a www.example.org", False),
        ("100% 24/7 ... !!!", False),
        (":)", False),
        ("#love", True),
        ("😡", True),
        ("👎👎", True),
        ("ok", True),
        ("@anna ok", True),
        ("http is a protocol", True),
    ],
)
def test_no_words(text: str, words: bool) -> None:
    """Mentions, links, digits and signs are no words; hashtags and emoji are something to judge."""
    assert ENGLISH.find(clean(text)).words is words


def test_what_a_model_reads() -> None:
    """A text is foreign only to a model that does not read its language, or one that is not told apart from it."""
    assert ENGLISH.find(GERMAN).code == "de"
    assert ENGLISH.find(GERMAN).foreign
    assert not Languages(["en", "de"]).find(GERMAN).foreign
    norwegian = "Tusen takk for hjelpen i går, det betydde veldig mye for meg."
    assert ENGLISH.find(norwegian).foreign
    assert Languages(["nb"]).judges
    assert not Languages(["nb"]).find(norwegian).foreign


@pytest.mark.parametrize("read", [[], ["sw"], ["en", "sw"]])
def test_unknown_languages_refuse_nothing(read: list[str]) -> None:
    """If the model's languages are unknown, or one of them is not told apart, no text is foreign to it."""
    languages = Languages(read)
    assert not languages.judges
    found = languages.find(GERMAN)
    assert (found.code, found.foreign) == ("de", False)


def test_long_texts() -> None:
    """The first characters decide, so that a long text takes no longer; one without a blank is no exception."""
    assert ENGLISH.find(GERMAN * 60 + " and now in English" * 5000).foreign
    started = time.thread_time()
    for text in (GERMAN * 2000, "ä" * 100_000, "@" * 100_000, "#a" * 50_000):
        ENGLISH.find(text)
    assert time.thread_time() - started < 0.5
    assert len(GERMAN * 60) > MOST_CHARS


def test_least_bytes() -> None:
    """What counts is the size of the words: blanks, digits and signs around them add nothing."""
    short = "das ist doch alles so"
    assert len(short.encode()) < LEAST_BYTES
    assert not ENGLISH.find(clean(f"{short}, 1234567890 !!! @jemand https://example.org #hashtag")).foreign


def test_codes() -> None:
    """Codes of languages have neither regions nor capitals; what is no code is refused."""
    assert as_codes(["en-US", " PT_br", "en", "fil"]) == ("en", "pt", "fil")
    for name in ("english", "multilingual", "e", "", "*"):
        with pytest.raises(ValueError, match="is not a code"):
            as_codes([name])


@pytest.mark.parametrize(
    ("card", "read"),
    [
        ("---\nlanguage: en\n---\n# A model\n", ("en",)),
        ("---\nlicense: mit\nlanguage:\n- de\n- en-US\ntags:\n- fr\n---\nlanguage: es\n", ("de", "en")),
        ("---\nlanguage: [\"de\", 'en']  # two\n---\n", ("de", "en")),
        ("---\nlanguage: multilingual\n---\n", ()),
        ("---\ndatasets:\n- x\nmodel-index:\n- language: en\n---\n", ()),
        ("# No head\nlanguage: en\n", ()),
        ("", ()),
        (None, ()),
    ],
)
def test_what_a_card_says(tmp_path: Path, card: str | None, read: tuple[str, ...]) -> None:
    """A model reads the languages that the head of its README.md names; a name that is no code says nothing."""
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert stated(str(tmp_path)) == read


def test_the_embedded_model_reads_english() -> None:
    """The embedded model's card says that it reads English."""
    assert stated("default") == ("en",)
