"""Names that are masked so that they do not move the score."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.masking import TOKEN, Mask, is_name, mask_of
from model.text import clean


@pytest.mark.parametrize(
    ("names", "text", "expected"),
    [
        (["Trump"], "I love TRUMP today", "I love @user today"),
        (["Trump"], "Trump's plan, trump\u2019s plan", "@user's plan, @user's plan"),
        (["iPhone"], "So many iPhones broke", "So many @user broke"),
        (["Trump", "Donald Trump"], "Donald Trump and Don Trump", "@user and Don @user"),
        (["Anna", "Anna Schmidt"], "Anna Schmidt and Anna", "@user and @user"),
        (["Donald Trump"], "donald_trump Donald-Trump DonaldTrump", "@user @user @user"),
        (["Trump"], "#Trump #VoteTrump2016 #StopTrump!", "@user #Vote @user 2016 #Stop @user!"),
        (["Donald Trump"], "Well done #DonaldTrump2016", "Well done @user 2016"),
        (["@realDonaldTrump"], "Well done @realDonaldTrump or #realDonaldTrump", "Well done @user or @user"),
        (["Bernie Sanders", "Sanders"], "Sanders' plan and Sanders's", "@user's plan and @user's"),
        (["Sanders"], "they call it 'Sanders' again", "they call it '@user' again"),
        (["Levi's"], "Levi\u2019s fit well", "@user fit well"),
        (["AT&T"], "AT&amp;T's slow", "@user's slow"),
        (["C++"], "I write C++ daily", "I write @user daily"),
        (["Beyoncé"], "BEYONCE\u0301 sings", "@user sings"),
        (["拜登"], "我喜欢拜登的计划", "我喜欢@user的计划"),
        (["Путин"], "ПУТИН тут", "@user тут"),
    ],
)
def test_forms_of_a_name(names: list[str], text: str, expected: str) -> None:
    """A name is masked in any case and any script, as possessive and plural, joined, as a hashtag and within one."""
    assert Mask(names)(clean(text)) == expected


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["Trump"], "A trumpet solo, Trumpism, strumpets"),
        (["us"], "The #musical began, buses"),
        (["Donald Trump"], "Donald and the trump card"),
        ([], "Donald Trump"),
        (["#", "", "..."], "# ... Trump"),
    ],
)
def test_other_words_stay(names: list[str], text: str) -> None:
    """Longer words, and parts of a name alone, are not masked; what has no letter is no name."""
    assert Mask(names)(clean(text)) == clean(text)


_NAMES = st.sampled_from(["Trump", "Hillary Clinton", "Sanders", "Obama", "Ünal", "Jo", "ice cube", "Иван"])
_FORMS = st.sampled_from(["{}", "{}'s", "{}\u2019s", "#{}", "({})", "{}!", "anti-{}", "@{}"])
_WORDS = st.lists(st.sampled_from(["I", "love", "hate", "#vote", "😡", "it's", "'so'", "!", "trumpet"]), max_size=6)


@given(name=_NAMES, other=_NAMES, form=_FORMS, before=_WORDS, after=_WORDS, upper=st.booleans())
def test_equal_texts_become_equal(
    name: str, other: str, form: str, before: list[str], after: list[str], *, upper: bool
) -> None:
    """Two texts that differ in the name alone are the same text once each name is masked."""

    def text(of: str) -> str:
        named = form.format(of.replace(" ", "") if form[0] in "#@" else of)
        return clean(" ".join([*before, named.upper() if upper else named, *after]))

    assert Mask([name])(text(name)) == Mask([other])(text(other)).replace("'S", "'s")


@given(names=st.lists(st.text(max_size=12), max_size=4), text=st.text(max_size=60))
def test_any_text_and_name(names: list[str], text: str) -> None:
    """Whatever the names are, nothing fails, and masking a masked text changes nothing."""
    mask, cleaned = Mask(names), clean(text)
    masked = mask(cleaned)
    assert masked == cleaned or TOKEN in masked
    if not {"user", "s"} & {name.strip("#@ _.-").lower() for name in names}:
        assert mask(masked) == masked


@given(name=st.text(alphabet="abcXYZäñжß", min_size=1, max_size=10), before=_WORDS, after=_WORDS)
def test_no_name_is_left(name: str, before: list[str], after: list[str]) -> None:
    """A masked text does not have the name as a word any more."""
    words = Mask([name])(clean(" ".join([*before, name, name.upper() if "ß" not in name else name, *after]))).split()
    assert name.lower() in ("user", "i", "so") or name.lower() not in map(str.lower, words)


def test_long_texts_take_no_longer_than_their_length() -> None:
    """A text that almost names somebody all the time is masked in a time that grows with its length alone."""
    mask = mask_of(("Donald Trump", "Hillary Rodham Clinton"))

    def seconds(count: int) -> float:
        texts = ["donald . _ " * count, "#" + "donald_" * count, "#" + "x" * 11 * count, "donald" + "." * 11 * count]
        best = float("inf")
        for _ in range(3):
            started = time.perf_counter()
            for text in texts:
                mask(text)
            best = min(best, time.perf_counter() - started)
        return best

    assert seconds(8000) < 8 * 4 * max(seconds(1000), 1e-4)


def test_names() -> None:
    """A name has a letter or digit and at most 100 characters."""
    assert all(map(is_name, ["Trump", "@united", "3M"]))
    assert not any(map(is_name, ["#", "", "x" * 101]))
