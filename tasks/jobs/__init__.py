"""The job machine: what a job is, where it is kept, and every change of it.

A job is `queued` when it is made (`incoming`), `running` from the moment when a worker takes its first chunk
(`running`), and ends as `succeeded` (every line has its prediction or an error of its own), `failed` (every line has an
error) or `cancelled`. It ends by itself when its texts have all come in and its chunks are all done. What callers see
of it is in `kept`.

    queued -> running -> succeeded | failed
       \\----------\\---> cancelled

Its texts come in page by page. A page and the chunks that it fills are stored in one step, and chunks leave while later
pages still come in. The chunks of a job are under way in `window` lanes: in each, a chunk is sent when the one before
it is done, by the worker that did that one, or by the web if it had not come in by then. A worker stores the results of
a chunk, counts it, sends the next one, notes that it was sent, and only then acknowledges the chunk: if it dies before,
the chunk is delivered again, and whoever receives it goes on from there. Chunks that the broker has lost are found
because they are due and nobody has them (`tasks.work.upkeep`).

Every change is one script (`lua/*.lua`), so that whoever dies leaves a job as it was or as it is to be. Which chunk is
due, and in which state a job ends, is decided in `lua/job.lua` alone. The keys:

    sentiq:j:<job>        the job's facts and counts, a hash: the fields of `tasks.jobs.job.Job`
    sentiq:j:<job>:in     its lines as sent in, with where each one's outcome is: a hash of pages
    sentiq:j:<job>:todo   the cleaned texts of each chunk, until it is done: a hash of chunks
    sentiq:j:<job>:late   lines that repeat a text of a chunk stored before: a hash of chunks
    sentiq:j:<job>:done   the numbers of the chunks that are done, a set
    sentiq:j:<job>:sent   the numbers of the chunks that were sent after another was done, a set
    sentiq:jobs           every job by the time of its creation, a sorted set
    sentiq:jobs:<owner>   those of one API key's name
    sentiq:unfinished     those of them that have not ended, a set
    sentiq:ends           how many have ended, by state, a hash; for the metrics
    sentiq:callbacks      jobs whose callback is due, a sorted set
    sentiq:i:<digest>     the job that an Idempotency-Key made
    (the result backend)  the outcomes of chunk n, under its task id `<job>.<n>`

While a job's texts still come in, its keys live UPLOAD_TTL_S after the last of them; from then on, JOB_TTL. A job's end
is published on the channel `sentiq:ended`.
"""
