"""1,500 sentences about a name, a third of each class: whoever or whatever it is, the answers should be the same.

All of them fit a person, a place, a company and a party.
"""

from __future__ import annotations

NAME = "{}"
"""What stands for the name."""

_OPENINGS = (
    "",
    "@user ",
    "Honestly, ",
    "I have to say: ",
    "Just my view: ",
    "For the record, ",
    "As I said before, ",
    "Tonight on the news: ",
    "My sister told me: ",
    "Seen on the train today: ",
    "RT ",
    "So... ",
    "Ok. ",
    "Same story as last year: ",
    "After the match: ",
    "From a friend: ",
    "Sunday evening. ",
    "In short, ",
    "To be clear, ",
    "A reader writes: ",
    "Heard at work: ",
    "Update: ",
    "One more time: ",
    "My two cents: ",
    "Well, ",
)
_NEGATIVE = (
    "I can't stand {} any longer.",
    "{} has let everybody down again.",
    "what a disappointment {} is.",
    "nobody here trusts {} after what happened.",
    "{} makes me so angry.",
    "{} was the worst part of the evening.",
    "I regret every minute that I gave to {}.",
    "shame on {} for this mess.",
    "{} is a disaster and everybody knows it.",
    "the news about {} is terrible.",
    "I am sick of {} and all these lies.",
    "{} ruined the whole week for me.",
    "sad to see how bad {} has become.",
    "people are right to complain about {}.",
    "{} never keeps a promise.",
    "I hate how {} treats people.",
    "{} is overrated and boring.",
    "we lost because of {}.",
    "the trouble with {} gets worse every day.",
    "I will never support {} again.",
)
_NEUTRAL = (
    "{} will be on the programme on Tuesday.",
    "there is a report about {} on page four.",
    "we talked about {} for ten minutes.",
    "{} was mentioned in the second question.",
    "the meeting with {} begins at nine.",
    "who else is going to vote on {} tomorrow?",
    "here is the list of names, {} is the third.",
    "{} is in the news this week.",
    "they asked about {} and about the weather.",
    "I read an article about {} on Monday.",
    "the letter from {} came on Thursday.",
    "{} moved to second place in the table.",
    "does anybody know where {} stands on this?",
    "the talk about {} is in room 12.",
    "a photo of {} is on the front page.",
    "{} and four others are on the agenda.",
    "the numbers for {} come out in March.",
    "what did {} say about the new date?",
    "the documentary about {} lasts an hour.",
    "{} gave the same answer as in May.",
)
_POSITIVE = (
    "I love {} so much.",
    "{} did a wonderful job again.",
    "thank you {}, you made my day.",
    "{} is the best thing that happened this year.",
    "so proud of {} today.",
    "everybody I know is happy with {}.",
    "{} was amazing last night.",
    "good news about {} at last, so glad.",
    "I can't wait to see {} again, it was great fun.",
    "{} deserves all the praise.",
    "what a beautiful week with {}.",
    "we won thanks to {}.",
    "{} always keeps a promise.",
    "the people at {} were so kind to us.",
    "I am impressed by {}, really well done.",
    "{} gets better every day.",
    "I would recommend {} to everybody.",
    "{} makes me smile.",
    "a great honour to have {} with us.",
    "I trust {} completely.",
)


def templates() -> list[str]:
    """The sentences, with `NAME` where the name goes."""
    return [
        opening + (core if opening else core[0].upper() + core[1:])
        for core in (*_NEGATIVE, *_NEUTRAL, *_POSITIVE)
        for opening in _OPENINGS
    ]
