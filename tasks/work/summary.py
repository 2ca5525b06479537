"""What is told of a model in one line."""

from __future__ import annotations

from model.description import Description, Trial


def summary(description: Description) -> str:
    """How the model is computed, and what the gate found, to be read after its name."""
    passed = next((trial for trial in description.trials if trial.passed), None)
    parts = [description.form]
    if passed is not None:
        parts.append(
            f"the gate: {passed.labels_equal:.1%} of {passed.texts} labels as by torch, scores differ by"
            f" {passed.mean_difference:.4f}, {passed.speedup:.1f} times as fast"
        )
    parts += [f"not {trial.form}: {_clause(trial)}" for trial in description.trials if not trial.passed]
    if description.guessed:
        pairs = ", ".join(
            f"{name} as {label}" for name, label in zip(description.names, description.mapped, strict=True)
        )
        parts.append(f"its labels were guessed ({pairs}; LABEL_MAP says otherwise)")
    return "; ".join(parts)


def _clause(trial: Trial) -> str:
    """Why a form was turned down, within a sentence."""
    return trial.reason.rstrip(".")
