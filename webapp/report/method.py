"""How the figures of a report were made, and what they cannot say, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from model.shares.estimates import FLOOR, Method
from webapp.report.figures import FALSE_ALARMS, MOST_IN_PAIRS, Figures

LEVEL = "95 %"
COMPARISONS = "Šidák"


def method(figures: Figures) -> Iterator[tuple[str, str]]:
    """What each kind of figure is: a name, and sentences."""
    methods = {one.shares.method for one in (figures.overall, *figures.segments)}
    yield (
        "Shares and net",
        (
            "A share is the part of the texts that are negative, neutral or positive; the three add up to 100 %. Net is"
            " the positive share less the negative one, in points from −100 to +100."
        ),
    )
    if Method.EXACT in methods:
        yield (
            "Every text has a label",
            (
                "Where a person has labelled every text, the shares are counted from these labels and are exact for these"
                " texts. They have no interval, and a difference between two segments is what it is. It says nothing of"
                " texts that are not in the file."
            ),
        )
    if Method.CORRECTED in methods:
        yield (
            "Corrected by labels",
            (
                "A model errs, and not in the same way everywhere. Where people have labelled a random sample of at least"
                f" {FLOOR} texts of a segment, the shares are those of people's labels, made more precise by the model's"
                " scores of all texts (prediction-powered inference; Angelopoulos and others, 2023). If this were done"
                f" again and again with new random samples, {LEVEL} of the intervals would hold what people would say of"
                " all texts. That needs labels of texts that were drawn at random: labels of the most liked, the longest or"
                " the latest texts make the figures wrong, and no figure here shows it."
            ),
        )
    if Method.RAW in methods:
        yield (
            "The model's own counts",
            (
                f"Where a segment has fewer than {FLOOR} labels, the shares are counted from the model's answers. Their"
                " intervals say how much such a count varies by chance, and not how often the model is wrong, which can be"
                " more than the whole interval. Two segments may be misread in different ways, for their subjects, their"
                " language or the very name that is in the texts."
            ),
        )
    yield (
        "Effective number of texts",
        (
            "A text that is sent round a hundred times is one opinion, and so are a hundred posts of one author. Equal"
            " texts, and texts of one author where that column was given, count as one group; the effective number of texts"
            " is how many independent ones would be as informative. Intervals of the model's counts are made with it."
        ),
    )
    if figures.pairs:
        each = "each pair" if figures.pairs[0].second is not None else "each segment with all others together"
        number = len(figures.pairs)
        yield (
            "Differences",
            (
                f"Compared is {each} ({number} {'comparison' if number == 1 else 'comparisons'};"
                f" up to {MOST_IN_PAIRS} segments in pairs). One of the two is ahead only if the whole interval of the"
                " difference is on one side of 0. Whoever looks at many differences finds some by chance, so the intervals"
                f" are wider than single ones would be: all of them together hold with {LEVEL} (method of {COMPARISONS})."
            ),
        )
    if figures.bucket is not None:
        yield (
            "Over time",
            (
                f"Texts are put into buckets of {figures.bucket} by the time that is given with them. Bands are {LEVEL}"
                " intervals of each bucket by itself: of many buckets, some are outside by chance."
            ),
        )
        yield (
            "Shifts",
            (
                "A shift is where the model's scores changed so much that chance alone would show one in"
                f" {100 * FALSE_ALARMS:.0f} of 100 reports without any. Equal texts count once. The most likely time, and"
                " the time between which it lies, are shown; slow changes appear as one or several steps."
            ),
        )


def limits() -> Iterator[str]:
    """What such figures cannot say, whatever the method."""
    yield (
        "Who posts is not who votes, buys or watches. These are figures of the texts in this file, not of a population;"
        " a few authors may have written most of them."
    )
    yield (
        "Bots, campaigns and copied texts are counted like others, as far as their texts differ. Equal texts make the"
        " intervals wider, but they do not leave the shares."
    )
    yield (
        "What comes after something is not caused by it. A shift after an event shows when the mood moved, not why; who"
        " writes may have changed as well as what they think."
    )
    yield (
        "How the texts were chosen (search words, platform, hours) decides what is in the file, and no interval knows"
        " it."
    )
    yield (
        "Irony, quotations, and texts on several subjects are often misread, by people too: two people give different"
        " labels to one text in five or so."
    )
