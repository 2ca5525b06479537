"""A checkpoint: a Hugging Face text-classification model in a folder, and what is checked before an engine runs it.

Cheap to import: torch and transformers are imported by `load` alone.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.analysis import Analysis
from model.configuration import class_names, read_config, read_json, require_choice, temperature_of
from model.description import Description
from model.digests import Manifest, combined, find_manifest, of_reading, sha256
from model.errors import MissingHead, ModelNotFound, ModelRefused
from model.labels import SENTIMENT, Classes, own_classes, understood
from model.source import is_local, local_folder, short_name

if TYPE_CHECKING:
    import transformers

MOST_TOKENS = 512
"""Longer texts are truncated even if the model could read more, so that time and memory of a batch stay bounded."""

_SMALL = ("*.json", "vocab.txt", "merges.txt", "*.model")
"""The files of a model besides its weights."""
_GRAPH = ("graph.xml", "graph.bin")
"""The files of an exported model that are the compiled engine's alone; an image for GPUs has none of them."""

_SHORT, _LONGER = "a 1", "a 1, b 2, c 3: d 4, e 5."
"""Two texts that show whether padding changes a score: any vocabulary has letters and digits."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that passed all checks that need no weights in memory."""

    name: str
    """As callers may see it: the name on the hub, or the last component of a folder."""
    folder: Path
    """Holds `config.json`, the weights as safetensors, and the tokenizer."""
    version: str
    """The commit, or a digest of the files: it distinguishes weights of the same name."""
    config: Mapping[str, Any]
    """What is in `config.json`."""
    classes: Classes
    """What the model's outputs mean."""
    temperature: float | None
    """What the logits are divided by, where `config.json` says so."""
    calibrated: bool
    """Whether there is a temperature, or one is part of the weights, as in the embedded model."""
    suffix: str
    """How identities of engines end: a digest of the label map if there is one, and the analysis's suffix."""
    reading: int = 0
    """The number of the way in which the model reads texts: see `model.reading`."""

    def description(self, form: str, max_tokens: int) -> Description:
        """What is told of the model when it runs in this form."""
        classes = self.classes
        return Description(
            form=form,
            names=classes.names,
            mapped=classes.mapped,
            guessed=classes.guessed,
            two_class=classes.two_class,
            calibrated=self.calibrated,
            max_tokens=max_tokens,
        )


@dataclass
class Loaded:
    """A checkpoint in memory."""

    config: transformers.PreTrainedConfig
    tokenizer: transformers.PreTrainedTokenizerBase
    model: transformers.PreTrainedModel
    """In evaluation mode."""
    inputs: tuple[str, ...]
    """The inputs that the model takes, of those that the tokenizer makes: some models take no `token_type_ids`."""
    max_tokens: int
    """The most tokens of a text that the model reads, with the special ones."""


def own_analysis(name: str, *, revision: str | None = None) -> Analysis:
    """The analysis whose classes are the model's own. It reads `config.json` alone, which it fetches if need be.

    Raises:
        ModelNotFound: there is no such model, or it cannot be reached.
        ModelRefused: the model does not choose one of several classes, or they cannot be served as they are.
    """
    config = read_config(name, local_folder(name, revision, ("config.json",)))
    require_choice(name, config)
    return own_classes(class_names(config))


def find_checkpoint(
    name: str,
    *,
    revision: str | None = None,
    label_map: Mapping[str, str] | None = None,
    analysis: Analysis = SENTIMENT,
    digest: Callable[[Path], str] = sha256,
) -> Checkpoint:
    """Finds a model, fetches it if it is on the hub, and checks all that can be checked without its weights in memory.

    Args:
        name: `default` (the embedded model), a folder, or a name on the hub.
        revision: a branch, tag or commit on the hub.
        label_map: from the model's own class names to the analysis's, for models whose classes are not known.
        analysis: the analysis to perform.
        digest: the SHA-256 digest of a file.

    Raises:
        ModelNotFound: no such folder, model or revision, or it holds no safetensors.
        UnknownLabels: see `model.labels.understood`.
        ModelRefused: the model does not choose one of several classes, needs code of its own, or has no tokenizer; or
            a file of the embedded model, or of another exported one, differs from its manifest.
    """
    folder = local_folder(name, revision, _SMALL)
    config = read_config(name, folder)
    require_choice(name, config)
    _check_code(name, folder, config)
    classes = understood(class_names(config), label_map, analysis)
    temperature = temperature_of(name, config)
    _check_tokenizer(name, folder)
    if not is_local(name):
        folder = local_folder(name, folder.name, (*_SMALL, "*.safetensors"))
    _check_weights(name, folder)
    if (manifest := find_manifest(folder)) is not None:  # swapped rows of the classifier would be answered wrongly
        manifest.verified(folder, sorted(name for name in manifest.sha256 if name not in _GRAPH))
    if classes.guessed:
        meaning = ", ".join(f"{name} is {label}" for name, label in zip(classes.names, classes.mapped, strict=True))
        _log.warning(
            "the classes of %s have no names; the usual meaning is taken: %s (LABEL_MAP)", short_name(name), meaning
        )
    mapped = combined(f"{key}={label_map[key]}" for key in sorted(label_map))[:6] if label_map else ""
    return Checkpoint(
        name=short_name(name),
        folder=folder,
        version=_version(folder, manifest, digest) if is_local(name) else folder.name[:12],
        config=config,
        classes=classes,
        temperature=temperature,
        calibrated=temperature is not None or manifest is not None,
        suffix=(f"+{mapped}" if mapped else "") + analysis.suffix,
        reading=0 if manifest is None else manifest.reading,
    )


def load(checkpoint: Checkpoint, *, dtype: str = "float32") -> Loaded:
    """Loads a checkpoint into memory, on the CPU.

    Args:
        checkpoint: the checkpoint.
        dtype: the arithmetic: `float32`, `bfloat16` or `float16`.

    Raises:
        MissingHead: the checkpoint lacks weights of the model.
        ModelNotFound: a file is missing.
        ModelRefused: the model has no padding token, its scores change with padding, or it cannot be loaded.
    """
    import torch
    import transformers

    name = checkpoint.name
    where: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    try:
        config = transformers.AutoConfig.from_pretrained(checkpoint.folder, **where)
        tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint.folder, **where)
        model, loaded = transformers.AutoModelForSequenceClassification.from_pretrained(
            checkpoint.folder,
            config=config,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            **where,
        )
    except OSError as error:
        raise ModelNotFound(f"{name} could not be loaded: {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # of any kind: what a checkpoint's files may hold has no end
        raise ModelRefused(f"{name} could not be loaded: {type(error).__name__}: {error}") from error
    if missing := sorted(loaded["missing_keys"]):
        raise MissingHead(
            f"{name} was not trained for classification: its checkpoint has no {', '.join(missing)}, "
            "so its answers would be random; choose a model that was fine-tuned for classification"
        )
    if other := sorted(key[0] for key in loaded["mismatched_keys"]):
        raise ModelRefused(f"{name}: in the weights, {', '.join(other)} has another shape than config.json says")
    if endless := [key for key, value in model.state_dict().items() if not value.isfinite().all()]:
        # The compiled engine may give an answer all the same.
        raise ModelRefused(f"{name}: in the weights, {', '.join(sorted(endless)[:3])} has numbers that are not finite")
    if tokenizer.pad_token_id is None:
        raise ModelRefused(f"{name} has no padding token, so its texts cannot be scored in batches")
    taken = inspect.signature(model.forward).parameters
    inputs = tuple(key for key in tokenizer.model_input_names if key in taken)
    found = Loaded(config, tokenizer, model.eval(), inputs, _max_tokens(tokenizer, model))
    _settle_padding(name, found)
    return found


def _check_code(name: str, folder: Path, config: Mapping[str, Any]) -> None:
    """Refuses models that need code of their own, or arithmetic that is not torch's."""
    for file in ("config.json", "tokenizer_config.json"):
        if (folder / file).is_file() and read_json(folder / file).get("auto_map"):
            raise ModelRefused(f"{name} needs code of its own (auto_map in {file}), which Sentiq never runs")
    if config.get("quantization_config"):
        raise ModelRefused(f"{name} is quantised already (quantization_config in config.json): give the original")


def _check_tokenizer(name: str, folder: Path) -> None:
    if any((folder / file).is_file() for file in ("tokenizer.json", "vocab.txt", "vocab.json")):
        return
    if not any(folder.glob("*.model")):
        raise ModelRefused(f"{name} has no tokenizer (tokenizer.json), so its texts cannot be read")
    if find_spec("sentencepiece") is None:
        raise ModelRefused(
            f"{name} has a tokenizer that only the package sentencepiece reads: install it, or load the tokenizer once"
            " where it is installed and save it (save_pretrained), which writes tokenizer.json"
        )


def _check_weights(name: str, folder: Path) -> None:
    if (index := folder / "model.safetensors.index.json").is_file():
        listed = read_json(index).get("weight_map")
        files = set(map(str, listed.values())) if isinstance(listed, dict) else set()
        if not files:
            raise ModelRefused(f"{name}: {index.name} lists no files (weight_map)")
        if outside := sorted(file for file in files if Path(file).name != file):
            raise ModelRefused(f"{name}: {index.name} lists {outside[0][:100]!r}, which is not in the model's folder")
        if missing := sorted(file for file in files if not (folder / file).is_file()):
            others = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise ModelNotFound(f"{name} lacks {', '.join(missing[:3])}{others}, which its {index.name} lists")
    elif not (folder / "model.safetensors").is_file():
        raise ModelNotFound(
            f"{name} has no model.safetensors, and weights of other kinds are not loaded, as reading them could run"
            " code; convert it (save_pretrained), or name a revision that has it (MODEL_REVISION=refs/pr/N)"
        )


def _settle_padding(name: str, loaded: Loaded) -> None:
    """Makes the tokenizer pad on the side where padding changes no score: its own side, or else the other.

    Models that read from left to right, for instance, find their last token on one side only.
    """
    import torch

    tokenizer, model = loaded.tokenizer, loaded.model
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    own = tokenizer.padding_side

    def first(texts: list[str]) -> torch.Tensor:
        columns = tokenizer(texts, padding=True, return_tensors="pt")
        with torch.inference_mode():
            logits: torch.Tensor = model(**{key: columns[key] for key in loaded.inputs}).logits[0]
        return logits.float().softmax(-1)

    for side in (own, "left" if own == "right" else "right"):
        tokenizer.padding_side = side
        difference = (first([_SHORT]) - first([_SHORT, _LONGER])).abs().max().item()
        # Arithmetic that overflows is found when the engine warms up: then the difference is not a number.
        if not difference > (1e-3 if model.dtype == torch.float32 else 0.05):
            return
    raise ModelRefused(f"{name}: padding changes its scores, so that they would depend on the texts scored with them")


def _max_tokens(tokenizer: transformers.PreTrainedTokenizerBase, model: transformers.PreTrainedModel) -> int:
    """The most tokens of a text that tokenizer and positions allow, and at most `MOST_TOKENS`."""
    positions = getattr(model.config, "max_position_embeddings", None) or 0
    if positions < 1:  # XLNet says -1: it has no limit
        positions = MOST_TOKENS
    for part, module in model.named_modules():
        # RoBERTa and related models count positions from the padding index: 514 of them are enough for 512 tokens.
        if part.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            positions = module.num_embeddings - module.padding_idx - 1
    most = min(int(tokenizer.model_max_length), positions, MOST_TOKENS)
    least = tokenizer.num_special_tokens_to_add() + 1
    if most < least:
        raise ModelRefused(f"its tokenizer and positions allow {most} tokens, and a text needs {least} at least")
    return most


def _version(folder: Path, manifest: Manifest | None, digest: Callable[[Path], str]) -> str:
    """A digest of a folder's files: it distinguishes weights of the same name."""
    files = [
        *sorted(folder.glob("*.safetensors")),
        *map(folder.joinpath, ("config.json", "tokenizer.json", "vocab.txt")),
    ]
    digests = [f"{file.name} {digest(file)}" for file in files if file.is_file()]
    return combined([*digests, *of_reading(0 if manifest is None else manifest.reading)])
