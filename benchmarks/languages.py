"""`python -m benchmarks.languages DATA`: libraries that find a language, compared; the tables of docs/language.md.

Those that are not installed are left out: pip install eldc py3langid lingua-language-detector pycld2 cld3-py, in an
environment of their own. English texts are those of `DATA` (SemEval tweets, film reviews, comments), sentences of other
languages those of `benchmarks/languages/heldout.tsv`, which no limit was chosen by; those of `tuned.tsv` were.
"""

from __future__ import annotations

import gzip
import random
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from model.language import LEAST_BYTES, Languages
from model.text import clean

FOLDER = Path(__file__).parent / "languages"
ENGLISH = {
    "test tweets": "test/tweeteval.tsv.gz",
    "dev tweets": "dev/tweeteval_val.tsv.gz",
    "Kaggle tweets": "dev/kaggle_tweets_dev.tsv.gz",
    "film reviews": "dev/sst_dev.tsv.gz",
    "comments": "dev/goemotions_dev.tsv.gz",
}
_SAME = {"nb": "no", "nn": "no", "iw": "he", "fil": "tl", "zh-Hant": "zh"}
Detect = Callable[[str], str | None]


def _eldc() -> Detect:
    eldc: Any = import_module("eldc")
    eldc.init()
    detect: Detect = eldc.detect
    return detect


def _py3langid() -> Detect:
    langid: Any = import_module("py3langid")
    return lambda text: str(langid.classify(text)[0])


def _lingua(*, fast: bool) -> Detect:
    lingua: Any = import_module("lingua")
    builder = lingua.LanguageDetectorBuilder.from_all_languages().with_preloaded_language_models()
    detector = (builder.with_low_accuracy_mode() if fast else builder).build()

    def detect(text: str) -> str | None:
        found = detector.detect_language_of(text)
        return None if found is None else str(found.iso_code_639_1.name).lower()

    return detect


def _cld2() -> Detect:
    cld2: Any = import_module("pycld2")

    def detect(text: str) -> str | None:
        try:
            return str(cld2.detect(text)[2][0][1])
        except cld2.error:
            return None

    return detect


def _cld3() -> Detect:
    cld3: Any = import_module("gcld3")
    detector = cld3.NNetLanguageIdentifier(min_num_bytes=0, max_num_bytes=1000)
    return lambda text: str(detector.FindLanguage(text=text).language)


def _ours() -> Detect:
    languages = Languages(["en"])
    return lambda text: languages.find(text).code


LIBRARIES: dict[str, Callable[[], Detect]] = {
    "eldc": _eldc,
    "pycld2": _cld2,
    "cld3-py": _cld3,
    "py3langid": _py3langid,
    "lingua, low accuracy": lambda: _lingua(fast=True),
    "lingua": lambda: _lingua(fast=False),
    "**eldc as Sentiq calls it**": _ours,
}


def _english(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        next(lines)
        return [clean(line.rstrip("\n").split("\t")[0]) for line in lines]


def sentences(name: str) -> list[tuple[str, str]]:
    """The sentences of a file in `benchmarks/languages` with the codes of their languages."""
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [(code, clean(text)) for code, _, text in (line.partition("\t") for line in lines)]


def _same(code: str | None) -> str | None:
    return code if code is None else _SAME.get(code, code)


def _memory() -> float:
    """The memory of this process, in MB."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096 / 1e6


def _row(name: str, make: Callable[[], Detect], tweets: list[str], held: list[tuple[str, str]]) -> str:
    before = _memory()
    detect = make()
    for text in tweets[:20]:
        detect(text)
    for _, text in held:
        detect(text)
    megabytes = _memory() - before
    sample = tweets[: 200 if "lingua" in name else 1000]
    started = time.perf_counter()
    found = [detect(text) for text in sample]
    micros = 1e6 * (time.perf_counter() - started) / len(sample)

    def right(pairs: list[tuple[str, str]]) -> float:
        return sum(_same(detect(text)) == _same(code) for code, text in pairs) / len(pairs)

    short = [(code, " ".join(text.split()[:4])) for code, text in held if len(text.split()) >= 8]
    shares = found.count("en") / len(found), right(held), right(short)
    return f"| {name} | {' | '.join(f'{100 * share:.1f}' for share in shares)} | {micros:.0f} | {megabytes:.0f} |"


def main(data: Annotated[Path, typer.Argument(exists=True)]) -> None:
    """Prints the comparison, and how often Sentiq's rule takes English for something else and misses the others."""
    random.seed(1)
    tweets = random.sample(_english(data / ENGLISH["test tweets"]), 3000)
    held = sentences("heldout.tsv")
    print("| library | English tweets | sentences | their first 4 words | us a tweet | MB |\n|---|---|---|---|---|---|")
    for name, make in LIBRARIES.items():
        try:
            print(_row(name, make, tweets, held), flush=True)
        except ModuleNotFoundError as missing:
            print(f"{name} is left out: {missing}")
    languages = Languages(["en"])
    print(f"\nRefused (from {LEAST_BYTES} bytes of words):\n\n| texts | number | refused, % |\n|---|---|---|")
    for name, file in ENGLISH.items():
        texts = _english(data / file)
        share = sum(languages.find(text).foreign for text in texts) / len(texts)
        print(f"| English: {name} | {len(texts):,} | {100 * share:.2f} |")
    for name in ("tuned.tsv", "heldout.tsv"):
        pairs = sentences(name)
        missed = [code for code, text in pairs if not languages.find(text).foreign]
        print(
            f"| other languages: {name} | {len(pairs)} | {100 - 100 * len(missed) / len(pairs):.1f}; missed: {missed} |"
        )


if __name__ == "__main__":
    typer.run(main)
