"""Small Hugging Face folders of each architecture: random weights, and a real tokenizer of the architecture's kind,
trained on a few sentences. Each takes about a second.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

SENTENCES = (
    "I love this show, it is wonderful and I will watch it again tomorrow.",
    "The worst service I have ever had: rude staff, cold food, and nobody cared!",
    "The bus to the station leaves at nine and arrives at half past ten.",
    "Not bad at all, though the second part was a bit slow for my taste :)",
    "Never again... what a complete waste of time and money 😡",
    "@user thanks for the quick answer, you made my day ❤️ http",
    "Das Hotel war sauber und ruhig, aber das Frühstück hat uns enttäuscht.",
    "Die Sitzung beginnt morgen um acht Uhr im großen Saal.",
    "Le film était magnifique, les acteurs jouent très bien.",
    "Je ne recommande pas ce restaurant, l'accueil était désagréable.",
    "La comida estaba rica y el camarero fue muy amable.",
    "El tren sale a las siete de la mañana desde Sevilla.",
    "Il libro è noioso e troppo lungo per quello che racconta.",
    "このホテルはとても静かで、朝食もおいしかったです。",
    "服务很差，等了一个小时才上菜。",
    "Поезд пришёл вовремя, и в вагоне было чисто.",
    "أحب هذا العرض كثيرا وسأشاهده مرة أخرى",
    "The phone's battery lasts two days, which is more than I expected for the price.",
    "It broke after a week and the shop refuses to take it back.",
    "We met at noon to talk about the plan for next year.",
)
NAMES = ("negative", "neutral", "positive")
_SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
    # So wide that texts get different scores; with the usual 0.02, all scores are nearly the same.
    "initializer_range": 0.3,
}


def need_torch() -> None:
    """Skips the test if torch is not installed; fails it in CI."""
    if find_spec("torch") is None or find_spec("transformers") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI has to run the pipeline engine's tests, but torch or transformers is not installed")
        pytest.skip("torch and transformers are not installed")


def make(kind: str, folder: Path, names: Sequence[str] = NAMES, **config: Any) -> Path:
    """Saves a small model of a kind (see `KINDS`) into a new folder.

    Args:
        kind: the architecture.
        folder: the folder to make.
        names: the model's class names.
        config: settings of the model, such as `problem_type`.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = _TOKENIZERS[kind]()
    tokenizer.model_max_length = 128
    folder.mkdir(parents=True)
    tokenizer.save_pretrained(folder)
    shape: dict[str, Any] = {
        **_SHAPE,
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "id2label": dict(enumerate(names)),
        "label2id": {name: number for number, name in enumerate(names)},
    }
    model_type, own = KINDS[kind]
    if model_type == "xlnet":
        del shape["max_position_embeddings"]  # it has no limit, and refuses to be given one
    torch.manual_seed(7)
    model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(model_type, **(shape | own | config)))
    model.eval().save_pretrained(folder)
    AutoTokenizer.from_pretrained(folder)  # what is saved can be read again
    return folder


_DEBERTA = {
    "relative_attention": True,
    "position_buckets": 32,
    "max_relative_positions": -1,
    "norm_rel_ebd": "layer_norm",
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "share_att_key": True,
    "type_vocab_size": 0,
    "pooler_hidden_size": 32,
}
_ROBERTA = {"max_position_embeddings": 130, "type_vocab_size": 1}
"""RoBERTa counts positions from the padding index, so it needs two more."""
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", {}),
    "distilbert": ("distilbert", {"dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 2}),
    "electra": ("electra", {"embedding_size": 24}),
    "mpnet": ("mpnet", {"max_position_embeddings": 130}),
    "roberta": ("roberta", _ROBERTA),
    "modernbert": ("modernbert", {"local_attention": 16, "global_attn_every_n_layers": 2}),
    "xlm-roberta": ("xlm-roberta", _ROBERTA),
    "albert": ("albert", {"embedding_size": 16, "classifier_dropout_prob": 0.0}),
    "camembert": ("camembert", _ROBERTA),
    "deberta-v2": ("deberta-v2", _DEBERTA | {"conv_kernel_size": 3, "conv_act": "gelu"}),
    "deberta-v3": ("deberta-v2", _DEBERTA),
    "xlnet": ("xlnet", {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48}),
    "gpt2": ("gpt2", {"n_positions": 128}),
}
"""Each kind's model type and what is special in its configuration."""


def _wordpiece(specials: Sequence[str]) -> dict[str, int]:
    """Letters, frequent words and frequent ends of words; the trainer of `tokenizers` makes another one each time."""
    from tokenizers import normalizers, pre_tokenizers

    words: Counter[str] = Counter()
    for sentence in SENTENCES:
        normal = normalizers.BertNormalizer().normalize_str(sentence)
        words.update(word for word, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(normal))
    letters = sorted({letter for word in words for letter in word})
    ends = Counter(f"##{word[-length:]}" for word in words for length in (2, 3) if len(word) > length)
    pieces = [*specials, *letters, *(f"##{letter}" for letter in letters)]
    pieces += [piece for piece, count in [*words.most_common(), *ends.most_common()] if count > 1]
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}


def _byte_level(specials: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=800, special_tokens=list(specials), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def _merges(specials: Sequence[str]) -> dict[str, Any]:
    """The vocabulary and the merges of a byte-level BPE, as transformers' tokenizers take them."""
    import json

    model = json.loads(_byte_level(specials).to_str())["model"]
    return {"vocab": model["vocab"], "merges": [tuple(merge) for merge in model["merges"]]}


def _unigram(first: Sequence[str], last: Sequence[str] = ()) -> list[tuple[str, float]]:
    """The pieces of a SentencePiece-like Unigram model with their log probabilities, with special tokens before and
    after them: letters, frequent words and frequent ends of words. The trainer makes another one each time.
    """
    words = Counter(f"▁{word}" for sentence in SENTENCES for word in sentence.split())
    pieces = Counter(letter for word, count in words.items() for letter in word * count)
    pieces.update(word[-length:] for word in words for length in (2, 3) if len(word) > length)
    pieces.update(words)
    kept = [piece for piece, count in pieces.most_common() if len(piece) == 1 or count > 1]
    total = sum(pieces[piece] for piece in kept)
    scored = [(piece, math.log(pieces[piece] / total)) for piece in kept]
    return [*((token, 0.0) for token in first), *scored, *((token, 0.0) for token in last)]


def _bert() -> Any:
    from transformers import BertTokenizer

    return BertTokenizer(vocab=_wordpiece(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")))


def _mpnet() -> Any:
    from transformers import MPNetTokenizer

    return MPNetTokenizer(vocab=_wordpiece(("<s>", "<pad>", "</s>", "[UNK]", "<mask>")))


def _roberta() -> Any:
    from transformers import RobertaTokenizer

    return RobertaTokenizer(**_merges(("<s>", "<pad>", "</s>", "<unk>", "<mask>")))


def _modernbert() -> Any:
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    tokenizer = _byte_level(("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"))
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{f"{name}_token": f"[{name.upper()}]" for name in ("unk", "cls", "sep", "pad", "mask")},
        model_input_names=["input_ids", "attention_mask"],
    )


def _xlm_roberta() -> Any:
    from transformers import XLMRobertaTokenizer

    return XLMRobertaTokenizer(vocab=_unigram(("<s>", "<pad>", "</s>", "<unk>"), ("<mask>",)))


def _albert() -> Any:
    from transformers import AlbertTokenizer

    return AlbertTokenizer(vocab=_unigram(("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")))


def _camembert() -> Any:
    from transformers import CamembertTokenizer

    pieces = _unigram(("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>"), ("<mask>",))
    return CamembertTokenizer(vocab=pieces)


def _deberta() -> Any:
    from transformers import DebertaV2Tokenizer

    return DebertaV2Tokenizer(vocab=_unigram(("[PAD]", "[CLS]", "[SEP]", "[UNK]"), ("[MASK]",)), unk_id=3)


def _xlnet() -> Any:
    from transformers import XLNetTokenizer

    return XLNetTokenizer(vocab=_unigram(("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>")))


def _gpt2() -> Any:
    from transformers import GPT2Tokenizer

    return GPT2Tokenizer(**_merges(("<|endoftext|>", "<|pad|>")), pad_token="<|pad|>")


_TOKENIZERS: dict[str, Callable[[], Any]] = {
    "bert": _bert,
    "distilbert": _bert,
    "electra": _bert,
    "mpnet": _mpnet,
    "roberta": _roberta,
    "modernbert": _modernbert,
    "xlm-roberta": _xlm_roberta,
    "albert": _albert,
    "camembert": _camembert,
    "deberta-v2": _deberta,
    "deberta-v3": _deberta,
    "xlnet": _xlnet,
    "gpt2": _gpt2,
}
