"""Adds emoji to a tokenizer as tokens: a base vocabulary has almost none, so "😍" and "😡" would both be `[UNK]`.

The embedding of a new token starts as the mean of the embeddings of the words in its name.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

import torch
from tokenizers import AddedToken
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from model.emoji import meaning, words
from model.reading import LONG, without_variants

_FULLY_QUALIFIED = 2
"""The status of emoji that are in use, in the package `emoji` as in Unicode's emoji-test.txt."""


def frequent(texts: Iterable[str], at_least: int) -> dict[str, str]:
    """The emoji that occur in at least `at_least` texts, the most frequent first, each with the words of its name."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update({char for char in text if ord(char) > 0x2000 and unicodedata.category(char) == "So"})
    return {char: words(char) for char, count in counts.most_common() if count >= at_least}


def all_in_use() -> dict[str, str]:
    """Every emoji of Unicode as it is read, without variants, with the words of its CLDR short name; oldest first.

    Raises:
        SystemExit: the package `emoji` is not installed.
    """
    try:
        from emoji import EMOJI_DATA
    except ModuleNotFoundError as error:
        raise SystemExit('the names of emoji are not installed: pip install "sentiq[training]"') from error
    out: dict[str, str] = {}
    for sign, about in sorted(EMOJI_DATA.items(), key=lambda item: (item[1]["E"], item[0])):
        base = without_variants(sign)
        if (
            about["status"] == _FULLY_QUALIFIED
            and not base.isascii()
            and (base == sign or base == sign.strip("\ufe0f"))
        ):
            name = about["en"].strip(":").replace("_", " ").replace("-", " ").lower()
            out.setdefault(base, meaning(base) or name)
    return out


def add_to(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, signs: Mapping[str, str]) -> int:
    """Adds the signs that the tokenizer lacks, and the mark of repeated letters; returns how many were new.

    Args:
        tokenizer: the tokenizer.
        model: its model, whose embeddings grow.
        signs: each sign with the words that its embedding is made from.
    """
    vocabulary = tokenizer.get_vocab()
    starts = {sign: tokenizer(said, add_special_tokens=False)["input_ids"] for sign, said in signs.items()}
    starts[LONG] = tokenizer("very", add_special_tokens=False)["input_ids"]
    new = [sign for sign in starts if sign not in vocabulary]
    # Not normalised: a tokenizer without case or accents would otherwise look for another string.
    tokenizer.add_tokens([AddedToken(sign, normalized=False) for sign in new])
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    weight = model.get_input_embeddings().weight
    unknown = tokenizer.unk_token_id
    with torch.no_grad():
        for sign in new:
            known = [token for token in starts[sign] if token != unknown] or starts[sign]
            weight[tokenizer.convert_tokens_to_ids(sign)] = weight[known].mean(0)
    return len(new)
