"""Teachers: larger models that learn from labels, and from whose scores the student learns. They are never served."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import openvino
import torch
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from model.graphs import quantised, traced
from model.instructions import instruction_set, overflows
from model.labels import LABELS
from model.training import data, emoji
from model.training.classifying import fit_classifier, passes, read_by
from model.training.data import Source
from model.training.fitting import Spent, device, has_bf16, save, seed_all
from model.training.graphs import Scorer, calibration_inputs
from model.training.names import Names
from model.training.options import Recipe
from model.training.scoring import TorchScorer
from model.types import FloatArray

WEIGHTS = "teacher.pt"
"""The file of the trained weights, in a teacher's folder; it is there only when training has ended."""
_CALIBRATION_TEXTS = 100


class Teacher(torch.nn.Module):  # type: ignore[misc]
    """An encoder, the mean of its token states, and a linear classifier.

    The mean is taken because all-mpnet-base-v2 was trained with it (see its card:
    https://huggingface.co/sentence-transformers/all-mpnet-base-v2).
    """

    def __init__(self, base: str, dropout: float = 0.0) -> None:
        """Loads the encoder.

        Raises:
            SystemExit: weights of the encoder are not in the folder; they would begin at random.
        """
        super().__init__()
        self.body, loaded = AutoModel.from_pretrained(
            base,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            add_pooling_layer=False,
            output_loading_info=True,
        )
        if missing := sorted(loaded["missing_keys"]):
            raise SystemExit(f"{base} lacks weights of the teacher's base model: {', '.join(missing[:5])}")
        self.head = torch.nn.Linear(self.body.config.hidden_size, len(LABELS))
        torch.nn.init.normal_(self.head.weight, std=0.02)
        torch.nn.init.zeros_(self.head.bias)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """The logits, shape (n, classes), for token ids and attention mask, both of shape (n, length)."""
        states = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        kept = attention_mask.unsqueeze(-1).to(states.dtype)
        out: torch.Tensor = self.head((states * kept).sum(1) / kept.sum(1))
        return out


def start(base: str, recipe: Recipe) -> tuple[PreTrainedTokenizerBase, Teacher]:
    """Tokenizer and teacher from a base model, with tokens for all emoji."""
    tokenizer = AutoTokenizer.from_pretrained(base, model_max_length=recipe.max_tokens)
    seed_all(recipe.seed)
    teacher = Teacher(base, recipe.dropout)
    emoji.add_to(tokenizer, teacher.body, emoji.all_in_use() if recipe.all_emoji else {})
    return tokenizer, teacher


def train(
    folder: Path, base: str, out: Path, recipe: Recipe, *, names: Names | None = None, save_s: float | None = None
) -> Spent:
    """Trains a teacher from `base` on the data in `folder`; writes its trained weights into `out`. See `fit`."""
    out.mkdir(parents=True, exist_ok=True)
    stages = passes(folder, recipe, names)
    tokenizer, teacher = start(base, recipe)
    teacher.to(device())
    spent = fit_classifier(teacher, teacher.forward, tokenizer, stages, recipe, out, save_s=save_s)
    save(out / WEIGHTS, {name: p.detach() for name, p in teacher.named_parameters() if p.requires_grad})
    return spent


def scorer(folder: Path, base: str, out: Path, recipe: Recipe) -> Callable[[list[str]], FloatArray]:
    """Scores with the teacher that was trained in `out`: in torch where there is bf16, else with a graph.

    With VNNI, a graph in int8 is three times as fast as torch in fp32; without, one in fp32 is faster than in int8 (22
    texts a second against 17). It is made once, and kept in `out`.
    """
    tokenizer, teacher = start(base, recipe)
    teacher.load_state_dict(torch.load(out / WEIGHTS, map_location="cpu", weights_only=True), strict=False)
    teacher.eval()
    read = read_by(tokenizer, recipe)
    if has_bf16(device()):
        return TorchScorer(teacher.to(device()).forward, tokenizer, read, device(), recipe.max_tokens).scores

    def graph() -> openvino.Model:
        whole = traced(teacher, lambda logits: logits.softmax(-1))
        if overflows(instruction_set()):  # int8 is slower there, too
            return whole
        sources = tuple(Source(source.file, _CALIBRATION_TEXTS) for source in recipe.stages[0])
        texts = read([example.text for example in data.draw(folder, sources)])
        return quantised(whole, calibration_inputs(tokenizer, texts))

    made = Scorer(out / "graph.xml", tokenizer, graph)
    return lambda texts: made.scores(read(texts))
