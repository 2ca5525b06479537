"""How models read texts: the embedded one as before, one made with the second reading by it, and none by an unknown."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from model.digests import Manifest, find_manifest, read_manifest, sha256
from model.emoji import EmojiWords
from model.engines.registry import load_engine
from model.errors import ModelRefused
from model.reading import AS_IT_IS, EMOJI_IN_WORDS, SPLIT, SplitReading, reader, without_variants
from model.source import DEFAULT_FOLDER
from tests.support.checkpoints import SENTENCES

TEXTS = (*SENTENCES, "no👎🏽 way", "so #NotHappy, sooooo bad", "🏳️‍🌈 1️⃣ 🇨🇦 ❤️‍🔥", "🦀🤮🥰🙂 a", "#fail 👨‍👩‍👧")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """The tokenizer of the embedded model."""
    return Tokenizer.from_file(str(DEFAULT_FOLDER / "tokenizer.json"))


@pytest.fixture(scope="module")
def split(tokenizer: Tokenizer) -> SplitReading:
    """The second reading, with that tokenizer's words."""
    return SplitReading(tokenizer.get_vocab())


def test_the_embedded_model_reads_as_before(tokenizer: Tokenizer) -> None:
    """The embedded model's tokens, for texts with all that the second reading changes, are those of its training; its
    identity, which names its answers in the cache, is that of its figures.
    """
    read = reader(read_manifest(DEFAULT_FOLDER).reading, lambda sign: tokenizer.token_to_id(sign) is not None, dict)
    assert isinstance(read, EmojiWords)
    ids = [tokenizer.encode(read(text)).ids for text in TEXTS]
    assert hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16] == "a548f71bdfdeb88e"
    identity = load_engine("default", engine="compiled", device="cpu", threads=1).identity
    assert identity == json.loads((DEFAULT_FOLDER / "figures.json").read_text())["model"]


def test_hashtags_are_divided_into_known_words(split: SplitReading) -> None:
    """Capitals, digits and the vocabulary say where; what is no hashtag, or has no known words, stays."""
    assert split("#NotHappy #nothappy") == "# Not Happy # not happy"
    assert split("#GE2019 #worstflightever #lol") == "# GE 2019 # worst flight ever # lol"
    assert split("#BBCQuestionTime #not_good") == "# BBC Question Time # not good"
    for text in ("C# and #1", "# happy", "plain"):
        assert split(text) == text


def test_elongations_are_shared(split: SplitReading) -> None:
    """However often a letter is repeated, it is the same word with the same sign; doubled letters and numerals stay."""
    assert {split(f"s{'o' * n} g{'o' * n}d") for n in range(3, 9)} == {"so [LONG] good [LONG]"}
    for text in ("so good", "World War III", "1000000", "!!!!"):
        assert split(text) == text


def test_emoji_are_read_as_their_base(split: SplitReading, tokenizer: Tokenizer) -> None:
    """Colours of skin, genders, families and keycaps are left out; what joins letters of other scripts is not."""
    assert without_variants("👎🏽 👨‍👩‍👧 🏳️‍🌈 1️⃣ ❤️‍🔥 🤷🏾‍♀️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿") == "👎 👨 🏳 1 ❤ 🤷 🏴"
    assert without_variants("می‌خواهم क्‍ष 🇨🇦") == "می‌خواهم क्‍ष 🇨🇦"
    assert split("🤬🏽").split() == ["angry", "cursing"]


def test_time_is_proportional_to_the_length(split: SplitReading) -> None:
    """A hostile text of a million characters in one word comes back with its runs shortened."""
    assert split("aaab" * 10_000).endswith("ab [LONG]")
    assert split("#" + "ab" * 100_000).startswith("#")


def exported(source: Path, folder: Path, reading: int) -> Path:
    """A copy of an exported model with another reading in its manifest."""
    shutil.copytree(source, folder)
    files = {path.name: sha256(path) for path in folder.iterdir() if path.suffix != ".svg" and path.name != "README.md"}
    Manifest(128, files, reading=reading).write(folder)
    return folder


def test_engines_read_as_the_manifest_says(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """The same weights under another reading have another identity and read other tokens; the tokens of one reading
    differ from those of the other.
    """
    folders = {
        number: exported(checkpoint("bert"), tmp_path / str(number), number)
        for number in (AS_IT_IS, EMOJI_IN_WORDS, SPLIT)
    }
    engines = {
        number: load_engine(str(folder), engine="pipeline", device="cpu", threads=1)
        for number, folder in folders.items()
    }
    assert len({engine.identity for engine in engines.values()}) == 3
    text = "#NotBad and wooooonderful"
    counts = {number: engine.count([text])[0] for number, engine in engines.items()}
    assert counts[AS_IT_IS] == counts[EMOJI_IN_WORDS] != counts[SPLIT]


def test_manifest_keeps_its_reading(tmp_path: Path) -> None:
    """Each reading is read as it was written, the first in the form that earlier versions know, and has a digest."""
    digests = set()
    for number in (AS_IT_IS, EMOJI_IN_WORDS, SPLIT):
        manifest = Manifest(8, {}, reading=number)
        manifest.write(tmp_path)
        found = find_manifest(tmp_path)
        assert found == manifest
        digests.add(manifest.verified(tmp_path, []))
    assert len(digests) == 3
    Manifest(8, {}, reading=EMOJI_IN_WORDS).write(tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text())["emoji_words"] is True


def test_unknown_reading_is_refused() -> None:
    """A model of a later version, with a reading that this one does not have, is refused and not read wrongly."""

    def vocabulary() -> Mapping[str, int]:
        return {}

    with pytest.raises(ModelRefused, match="read in a way"):
        reader(9, "a".__eq__, vocabulary)
