"""Texts of our own with the lengths of tweets, on which workers measure their rate when they start.

The tweets of TweetEval's sentiment test have 25 tokens on average with the embedded model's tokenizer, and nine tenths
of them have 12 to 37; these have 25, and 11 to 38. They are in an order in which the first few have about that average
already, because a slow engine measures with few.
"""

from __future__ import annotations

TWEETS = """\
grandma tried sushi for the very first time today and asked for more of it, what a star she is :) 🍣
just saw the trailer for the third one and it looks far better than i'd hoped
i know the book is always better, but this time the film got the ending right and i may just see it again @user #nowwatching 🍿
that referee needs new glasses, honestly, what a match #derby
day 3 of the conference and my feet really hurt, but the talks this morning were brilliant #conference2019 @user
the library on mill street will stay open until eight in the evening from october 1st. good news! http
if the band plays that song on sunday night i'll cry in front of everyone & i won't be sorry at all 😭🎸 #lastshow @user
new phone arrived today and the camera is lovely
nobody told me that having a puppy means getting up at 5am every single day, weekends & holidays too 🐶 #puppylife
my train is 40 minutes late, it's raining and nobody tells us why. just lovely @user
@user @user good luck tomorrow, may your hands be steady & the questions be those you've read up on 💪💪 #gcse2016
can't wait for the concert on friday, see you all by the gate!
why would anyone book a flight with a six hour stop in dubai in the middle of the night? me, sadly :( #jetlag
we've moved the meeting to tuesday at half past ten, room 4, bring your notes and some cake
@user the 7.45 was cancelled again today, the 8.05 had only 2 coaches, and your app said 'good service' all the time http #delayrepay
finally home after nine hours, what a day
2 hours on hold, 4 different people, and my parcel is still stuck somewhere in leeds. #fail #neveragain
tickets for saturday's game are on sale from nine tomorrow, so be quick folks!! http
watched the debate last night with dad: he shouted at one of them, i shouted at the other & mum just turned it off 😂 #votersdecide
@user thanks for the quick reply on sunday, it all works again now
so the sink broke, the plumber came out on a sunday and charged us nothing. faith in people restored! @user #thankyou
the new update drains my battery twice as fast as the old one did, anyone know why?? @user
half the team is ill, we play away, it's pouring, and somehow we're two goals up after 20 minutes?! #dreaming #coyb 💛💚
who else is watching the final right now? what a start 😂
@user i asked for a refund three weeks ago & still haven't heard a word from you. what now??
rain until thursday & then sun for the whole weekend, says the forecast. bbq at ours? ☀️
our street had no power from 6pm on sunday until 3am, so we lit candles, told stories & ate all the ice cream first 😋🍦 #blackout
the queue at the new bakery on mill street was out of the door by 7am
the council wants to close our pool in march; there's a meeting about it on the 12th, please come along @user #saveourpool http
is it only me or was the second season much, much weaker than the first one? #nospoilers
sold the car, bought a bike, and after 1 month i'm fitter, richer, and wetter. would do it again, even in november :) #bikelife http
monday again, send coffee please
""".splitlines()  # noqa: E501
