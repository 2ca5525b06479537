"""What the texts of the demo are made of. All of it was written for Sentiq; the show, the candidates and the app are
invented.
"""

from __future__ import annotations

from dataclasses import dataclass

NEGATIVE, NEUTRAL, POSITIVE = "NEGATIVE", "NEUTRAL", "POSITIVE"
MOODS = (NEGATIVE, NEUTRAL, POSITIVE)

OPENERS = {
    NEGATIVE: ("", "", "", "Honestly, ", "Ugh, ", "Sorry, but ", "Wow, ", "No. Just no. ", "Seriously? ", "Oh dear, "),
    NEUTRAL: ("", "", "", "", "So, ", "Question: ", "Just saw: ", "FYI, ", "Hm, ", "Hi all, "),
    POSITIVE: ("", "", "", "Honestly, ", "Wow, ", "Okay, ", "Yes! ", "Oh my, ", "Not going to lie, ", "Friends, "),
}
CLOSERS = {
    NEGATIVE: (
        "",
        "",
        "",
        "",
        " Never again.",
        " What a shame.",
        " 😡",
        " 👎",
        " So disappointed.",
        " Enough of this.",
    ),
    NEUTRAL: ("", "", "", "", "", "", " Thanks.", " 🤔", " Anyone know?", " More later."),
    POSITIVE: ("", "", "", "", " Love it!", " ❤️", " 👏", " So happy.", " More of this, please!", " Well done!"),
}


@dataclass(frozen=True, slots=True)
class Phrases:
    """Sentences of one story by their mood; a name in braces stands for one of several words."""

    cores: dict[str, tuple[str, ...]]
    words: dict[str, tuple[str, ...]]
    hashtags: tuple[str, ...]


SHOW = Phrases(
    {
        NEGATIVE: (
            "{part} was painful to watch",
            "{part} is dragging on and on, I am so bored",
            "that {joke} was cruel and not funny at all",
            "I can't believe they sent {act} home, what a terrible decision",
            "the jury has no idea what they are doing, {act} deserved better",
            "they robbed {act}, this is a disgrace",
            "the sound during {part} is awful, I can't hear a word",
            "I hate how they treat {act}",
            "{part} was the worst in years, I am switching off",
            "why would anyone laugh about that {joke}? Disgusting",
            "{part} ruined the whole evening for me",
            "so disappointed by {part}, it used to be a good show",
            "the voting is a joke, I feel cheated",
        ),
        NEUTRAL: (
            "who is on after {act}?",
            "what time does {part} start?",
            "number {number} tonight: {act}",
            "watching {part} with my {relative}",
            "the lines for {act} are open for {number} minutes",
            "which song did {act} do in {part}?",
            "is {part} live or recorded?",
            "second act tonight: {act}",
            "my {relative} just asked about {act}",
            "the results come after {part}",
        ),
        POSITIVE: (
            "{act} gave me goosebumps, what a voice",
            "{part} was absolutely brilliant",
            "I am crying, this was so beautiful, thank you {act}",
            "{part} was the best I have seen in years",
            "I want {act} to win this, amazing performance",
            "what a comeback for {act}, I am so happy for them",
            "my {relative} and I are dancing in the kitchen, {part} is fantastic",
            "I love how kind they were to {act}",
            "{part} made my whole week",
            "that was magical, thank you {act}",
            "the crowd during {part} was wonderful, what an atmosphere",
            "so proud of {act}, a perfect evening",
        ),
    },
    {
        "part": (
            "the opening",
            "the second round",
            "the duet",
            "the finale",
            "the jury talk",
            "the interview",
            "the encore",
        ),
        "act": ("the Harbour Choir", "Duo Kestrel", "Milo and the Tin Drums", "Aunt Petra's Band", "the Lantern Kids"),
        "joke": (
            "joke about the kids",
            "remark about her dress",
            "sketch",
            "prank on the choir",
            "comment on his stutter",
        ),
        "relative": ("mum", "dad", "sister", "flatmate", "grandma", "whole family"),
        "number": ("two", "three", "four", "five", "ten"),
    },
    ("#LanternNight", "#LanternFinal"),
)

CAMPAIGN = Phrases(
    {
        NEGATIVE: (
            "{name} has no plan for {topic}, only empty words",
            "another lie from {name} about {topic}",
            "I don't trust {name} at all when it comes to {topic}",
            "{name} dodged every question about {topic}, pathetic",
            "what {name} says about {topic} is dangerous nonsense",
            "{name} was rude and arrogant {where}",
            "shame on {name} for cutting {topic}",
            "I'm sick of {name} blaming others for {topic}",
            "{name} {where}: boring, tired, out of touch",
            "four years of {name} would be a disaster for {topic}",
            "so angry after hearing {name} {where}",
        ),
        NEUTRAL: (
            "{name} speaks {where} at {hour}",
            "what did {name} say about {topic}?",
            "{name} will answer questions on {topic} {where}",
            "the programme of {name} has two pages on {topic}",
            "poster of {name} next to the station",
            "does anyone have a link to {name} {where}?",
            "{name} and the others talk about {topic} tonight",
            "new numbers for {name} are out at {hour}",
            "my street got a leaflet from {name} about {topic}",
        ),
        POSITIVE: (
            "{name} was brilliant {where}, clear and honest",
            "finally somebody who understands {topic}: {name}",
            "{name} has my vote, great ideas for {topic}",
            "I'm impressed by {name} {where}",
            "thank you {name} for standing up for {topic}",
            "{name} listened to everyone {where}, so refreshing",
            "best answer on {topic} all night came from {name}",
            "happy to see {name} take {topic} seriously",
            "met {name} {where}, warm and funny",
            "{name} gives me hope for {topic}",
        ),
    },
    {
        "topic": (
            "schools",
            "rents",
            "the buses",
            "the hospital",
            "small shops",
            "clean air",
            "the bridge",
            "pensions",
        ),
        "where": ("on the radio", "in the debate", "at the market", "at the town hall", "in the interview", "on stage"),
        "hour": ("six", "seven", "half past eight", "nine", "noon"),
    },
    ("#TownVote", "#TheDebate"),
)

RELEASE = Phrases(
    {
        NEGATIVE: (
            "{app} keeps crashing when I open {feature}",
            "since the update {feature} is terribly slow on my {phone}",
            "I hate what they did to {feature}, bring the old one back",
            "{app} deleted my {data}, I am furious",
            "{feature} is broken again, useless",
            "support never answered about {feature}, very bad service",
            "{app} drains the battery of my {phone}, awful",
            "so many ads in {feature} now, I am uninstalling {app}",
            "lost all my {data} after the update, worst release ever",
            "paying for {app} and {feature} still does not work",
        ),
        NEUTRAL: (
            "where is {feature} in {app}?",
            "does {app} run on a {phone}?",
            "how do I export my {data} from {app}?",
            "{app} asks me to sign in again on my {phone}",
            "there is an update of {app} for the {phone}",
            "is {feature} part of the free plan?",
            "I use {app} for my {data}",
            "can I share my {data} with someone who has no {app}?",
        ),
        POSITIVE: (
            "{feature} in {app} is so good now",
            "I love {feature} now, so fast on my {phone}",
            "{app} saved my weekend trip, great app",
            "the update made {feature} really easy, thank you",
            "best planner I have ever had, {feature} is brilliant",
            "{app} just works, I recommend it to everyone",
            "{feature} looks beautiful and my {data} are all there",
            "great support, my {data} were back in an hour",
            "finally dark mode in {feature}, I am delighted",
        ),
    },
    {
        "app": ("Wayfold", "Wayfold", "this app", "the app"),
        "feature": ("the map", "the route planner", "offline mode", "the search", "the calendar", "the packing list"),
        "phone": ("tablet", "old phone", "new phone", "work phone", "watch"),
        "data": ("trips", "routes", "photos", "saved places", "notes"),
    },
    ("#Wayfold",),
)
ELSEWHERE = (
    "¡Qué espectáculo tan bonito, me encanta esta canción!",
    "Das war wirklich ein schöner Abend, vielen Dank an alle!",
    "Je ne comprends pas du tout cette décision, c'est vraiment dommage.",
    "Non vedo l'ora di ascoltare la prossima canzone, che bella serata!",
)
"""Texts in other languages, as there are some everywhere: they are counted apart."""
