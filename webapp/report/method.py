"""How the figures of a report were made, and what they cannot say, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from model.shares.estimates import FLOOR, Method
from webapp.report.figures import FALSE_ALARMS, MOST_IN_PAIRS, Figures

COMPARISONS = "Šidák"
"""Who the method is named after by which comparisons are adjusted for their number; see `model.shares.difference`."""
_PARTS = {
    "Shares and net": """
        A share is the part of the texts that are negative, neutral or positive; the three add up to 100 %. Net is the
        positive share less the negative one, in points from −100 to +100.""",
    "Every text has a label": """
        Where a person has labelled every text, the shares are counted from these labels and are exact for these texts.
        They have no interval, and a difference between two segments is what it is. It says nothing of texts that are
        not in the file.""",
    "Corrected by labels": """
        A model errs, and not in the same way everywhere. Where people have labelled a random sample of at least {floor}
        texts of a segment, the shares are those of people's labels, made more precise by the model's scores of all
        texts (prediction-powered inference; Angelopoulos and others, 2023). If this were done again and again with new
        random samples, 95 % of the intervals would hold what people would say of all texts. That needs labels of texts
        that were drawn at random: labels of the most liked, the longest or the latest texts make the figures wrong, and
        no figure here shows it.""",
    "The model's own counts": """
        Where a segment has fewer than {floor} labels, the shares are counted from the model's answers. Their intervals
        say how much such a count varies by chance, and not how often the model is wrong, which can be more than the
        whole interval. Two segments may be misread in different ways, for their subjects, their language or the very
        name that is in the texts.""",
    "Effective number of texts": """
        A text that is sent round a hundred times is one opinion, and so are a hundred posts of one author. Equal texts,
        and texts of one author where that column was given, count as one group; the effective number of texts is how
        many independent ones would be as informative. Intervals of the model's counts are made with it.""",
    "Differences": """
        Compared is {each}. One of the two is ahead only if the whole interval of the difference is on one side of 0.
        Whoever looks at many differences finds some by chance, so the intervals are wider than single ones would be:
        all {number} of them hold together with 95 % (method of {comparisons}).""",
    "Over time": """
        Texts are put into buckets of {bucket} by the time that is given with them. Bands are 95 % intervals of each
        bucket by itself: of many buckets, some are outside by chance.""",
    "Shifts": """
        A shift is where the model's scores changed by more than chance would have it: of 100 reports whose texts show
        no shift at all, {alarms} would tell one. Equal texts count once. Shown are the most likely time, and the times
        between which it lies; a slow change appears as one step or several.""",
}
_LIMITS = (
    """Who posts is not who votes, buys or watches. These are figures of the texts in this file, not of a population; a
    few authors may have written most of them.""",
    """Bots, campaigns and copied texts are counted like others. Equal texts make the intervals of the model's counts
    wider, but they stay in the shares.""",
    """What comes after something is not caused by it. A shift shows when the mood moved, not why; who writes may have
    changed as well as what they think, and all texts move when a segment gets more or fewer of them.""",
    """How the texts were chosen (search words, platform, hours) decides what is in the file, and no interval knows of
    it.""",
    """Irony, quotations and texts on several subjects are often misread, by people too: any two people disagree about
    some texts.""",
)


def method(figures: Figures) -> Iterator[tuple[str, str]]:
    """What each kind of figure in this report is: a name, and sentences."""
    methods = {one.shares.method for one in (figures.overall, *figures.segments)}
    number = len(figures.pairs)
    in_pairs = number and figures.pairs[0].second is not None
    facts = {
        "floor": FLOOR,
        "each": "each segment with each other one"
        if in_pairs
        else f"each segment with all others together, as there are more than {MOST_IN_PAIRS}",
        "number": number,
        "comparisons": COMPARISONS,
        "bucket": figures.bucket,
        "alarms": f"{100 * FALSE_ALARMS:.0f}",
    }
    told = {
        "Every text has a label": Method.EXACT in methods,
        "Corrected by labels": Method.CORRECTED in methods,
        "The model's own counts": Method.RAW in methods,
        "Differences": number > 0,
        "Over time": figures.bucket is not None,
        "Shifts": figures.bucket is not None,
    }
    for name, text in _PARTS.items():
        if told.get(name, True):
            yield name, " ".join(text.split()).format(**facts)


def limits() -> Iterator[str]:
    """What such figures cannot say, whatever the method."""
    for text in _LIMITS:
        yield " ".join(text.split())
