"""The job machine: what a job is, where it is kept, and every change of its state.

A job is `queued` when it is made (`incoming`) and `running` once a worker has taken its first chunk (`running`). It
ends as `succeeded` (every line has a prediction or an error of its own), `failed` (every line has an error) or
`cancelled`. Unless it is cancelled, it ends when all its texts have come in and all its chunks are done. `kept` is the
part that callers read.

    queued -> running -> succeeded | failed
       \\----------\\---> cancelled

The texts come in page by page. A page and the chunks that it fills are stored in one step, and chunks are sent while
later pages are still coming in. A job's chunks run in `window` lanes. In each lane, a chunk is due when the one before
it is done, or when it comes in if that is later. A chunk that is due waits for its turn among the chunks of all callers
(`lua/turns.lua`), so that only a few are in the broker. A worker stores the results of a chunk, counts it, lets the
next one wait, sends the chunks whose turn it is, and only then acknowledges its own. If the worker dies before that,
the chunk is delivered again, and the worker that receives it continues from there. Chunks that the broker has lost are
found because they are due but neither wait nor are queued or held by a worker (`tasks.work.upkeep`).

Every change is one script (`lua/*.lua`), so that a process that dies leaves a job either as it was or completely
changed. `lua/job.lua` alone decides which chunk is due and in which state a job ends. The keys:

    sentiq:j:<job>        the job's facts and counts, a hash: the fields of `tasks.jobs.job.Job`
    sentiq:j:<job>:in     its lines as sent in, each with its outcome or where to find it: a hash of pages; its field
                          `starts`, if there is one, says where uneven pages begin (`tasks.jobs.kept`)
    sentiq:j:<job>:todo   the cleaned texts of each chunk, until it is done: a hash of chunks
    sentiq:j:<job>:late   lines that repeat a text of a chunk stored before: a hash of chunks
    sentiq:j:<job>:done   the numbers of the chunks that are done, a set
    sentiq:j:<job>:sent   the numbers of the chunks that were sent after another was done, a set
    sentiq:j:<job>:drawn  random samples of its lines, to be labelled, and `labels`, `offers` and `offered`, what people
                          said of them: `tasks.streams.job_labels`
    sentiq:jobs           the ids of all jobs by the time of their creation, a sorted set
    sentiq:jobs:<owner>   the same for the jobs of one API key's name
    sentiq:turns...       the chunks that wait for their turn, and those that were sent: see `lua/turns.lua`
    sentiq:kept:<caller>        the jobs of one caller by the time when they expire, a sorted set
    sentiq:kept:<caller>:bytes  the bytes that each of these jobs keeps, and `total`, their sum; a hash
    sentiq:open:<caller>        the ids of the jobs of one caller that have not ended; some may have expired; a set
    sentiq:open:<caller>:looked for a second after those that have expired were looked for
    sentiq:unfinished     the ids of the jobs that have not ended, a set
    sentiq:ends           how many jobs have ended, by state, a hash; for the metrics
    sentiq:callbacks      the ids of the jobs whose callback is due, a set sorted by time
    sentiq:i:<digest>     the job that an Idempotency-Key made
    (the result backend)  the outcomes of chunk n, under its task id `<job>.<n>`

While a job's texts are coming in, its keys live for UPLOAD_TTL_S after the latest page; once all are in, for JOB_TTL. A
job's end is published on the channel `sentiq:ended`.
"""
