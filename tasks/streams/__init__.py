"""Streams: counts of texts over time and by segment, and a random sample of them.

A stream belongs to an API key (its owner; `""` where the service has no keys). Callers know it by its name. Under its
`uid`, which is random, it has the keys below. A stream that is deleted and made again has another uid, so that
nothing of the old one can be counted in the new one.

Texts come in as a job (`tasks.submit`), whose chunks carry for each line what a stream needs to know of it
(`tasks.streams.lines`). The script that counts a job's chunk as done (`tasks/jobs/lua/finish.lua`) adds the chunk to
the stream in the same step, so that a text is counted exactly once however often its chunk is delivered. Then nothing
is left of the text, except in the sample of a stream that was made with `keep_sample`.

Segments have numbers in the order in which they came; those beyond MAX_SEGMENTS are counted together as `(other)`.
Times are instants. What is counted lies in **minutes** and, as an hour or a day in any time zone consists of them, in
**quarters** of an hour; minutes are kept for a week at most, quarters as long as the stream.

    sentiq:streams-of:<owner>        the uids of an owner's streams by name, a hash
    sentiq:s:<uid>                   the stream's facts and counts, a hash: see `tasks.streams.stream`
    sentiq:s:<uid>:segments          the numbers of its segments by name, a hash
    sentiq:s:<uid>:totals            what was counted of each segment, a hash: fields as in a bucket, see below
    sentiq:s:<uid>:m:<n>:<hour>      minutes of segment n, a hash; <hour> counts from 1970
    sentiq:s:<uid>:q:<n>:<day>       quarters of segment n, a hash; <day> counts from 1970, in UTC
    sentiq:s:<uid>:a:<n>:<day>       distinct authors of segment n on a day, a HyperLogLog
    sentiq:s:<uid>:days              which `q` keys there are, a set of <n>:<day>
    sentiq:s:<uid>:sample:<n>        the sample of segment n: a sorted set of packed entries by their keyed hash
    sentiq:s:<uid>:sample:<n>:texts  the texts of the sample's entries by keyed hash, a hash; only with `keep_sample`
    sentiq:s:<uid>:gold:<n>          the same for texts that were sent with labels of their own, chosen at random
    sentiq:s:<uid>:ids:<level>:<k>   the hashes of ids that were counted, sets of integers
    sentiq:s:<uid>:jobs              the ids of jobs that bring texts and have not ended, a set
    sentiq:s:<uid>:unseen            counted chunks that the search for shifts has not looked at, a hash
    sentiq:s:<uid>:touched           minutes as <n>:<minute> by the revision of their latest change, a sorted set
    sentiq:s:<uid>:bytes             about how many bytes of Redis it keeps, a hash: see `KeptStreams.kept_bytes`
    sentiq:s:<uid>:links             the links by which others may look at it, a hash: see `tasks.streams.links`
    sentiq:streams:unseen            the uids of streams that have any, by time, a sorted set

A hash of buckets has for bucket b the field `b` with the Sums of its texts as 8 little-endian doubles; `b.m`, the Sums
with the segment's name masked, if masking changed anything; and `b.x`, two doubles: texts that failed, and texts in a
language that the model does not read. Every key expires with the stream, its `ttl` after the latest change of the key.
"""
