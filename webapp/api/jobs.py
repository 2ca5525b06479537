"""`POST /batch_predict` and the jobs that it creates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import orjson
from flask import Blueprint, Response, request, url_for

from tasks.cost import Count
from tasks.errors import JobNotFound, ResultsNotKept
from tasks.jobs.job import TERMINAL, Header, Job, JobStatus, Line, Source, job_facts
from tasks.submit.asked import Asked
from tasks.submit.intake import Submission
from tasks.submit.jobs import JobService
from webapp.api.answers import PredictionAnswers
from webapp.api.attachments import disposition
from webapp.api.batches import batch_texts
from webapp.api.events import Listeners, events
from webapp.api.job_schemas import DeleteQuery, JobsQuery, UploadQuery
from webapp.api.received import body_pieces, drained, idempotency_key, received
from webapp.api.requests import Preferences, list_header, preferences
from webapp.api.result_schemas import ResultsQuery
from webapp.api.results import MOST_ROWS, csv_file, gzipped, json_page, ndjson, workbook_rows
from webapp.front.visit import caller
from webapp.reading.json_values import parse_json
from webapp.reading.names import one_line
from webapp.reading.refusals import InvalidEncoding, MalformedJson, invalid_option
from webapp.reading.texts import Found, Limits, Options, Texts
from webapp.sandbox.process import Sandbox

_JOB_ID = re.compile(r"[0-9a-f]{32}")
_PAGE_LINES = 1000
"""Lines of a page of JSON, if not asked otherwise; fewer if they have too many bytes (`webapp.api.results`)."""
_MAX_PAGE_LINES = 5000
_AT_ONCE_TEXTS = 100
_AT_ONCE_BYTES = 256 * 1024
"""A batch may be answered at once, without a job, if neither its number of texts nor its body is larger than this."""
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_FORMATS = {"application/json": "json", "application/x-ndjson": "ndjson", "text/csv": "csv", _XLSX: "xlsx"}


def job_body(job: Job) -> dict[str, object]:
    """A job as the API shows it, with its links; and with its owner, if the caller sees those of all keys."""
    links = {"self": "jobs.job", "results": "jobs.results", "events": "jobs.listen"}
    facts = job_facts(job) | {"links": {name: url_for(endpoint, job_id=job.id) for name, endpoint in links.items()}}
    return facts | {"owner": job.owner} if caller().is_admin else facts


def found_job(jobs: JobService, job_id: str, wait_s: float = 0.0) -> Job:
    """The job of this id, if it is one that the caller may see. Raises JobNotFound."""
    if _JOB_ID.fullmatch(job_id) is None:
        raise JobNotFound
    return jobs.get(job_id, wait_s, owner=caller().sees)


def nothing() -> Response:
    """204: an answer without a body, and so without the type of one."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


def accepted(job: Job, prefer: Preferences, flags: Mapping[str, object]) -> Response:
    """202 with the address of the job, where the results will be. `flags`: what is said of its model."""
    response = Response(orjson.dumps({**job_body(job), **flags}), status=202, mimetype="application/json")
    response.headers["Location"] = url_for("jobs.job", job_id=job.id)
    response.headers["Retry-After"] = "10" if "compiling" in flags else "1"
    if prefer.applied is not None:
        response.headers["Preference-Applied"] = prefer.applied
    return response


def taken(jobs: JobService, answers: PredictionAnswers, prefer: Preferences, job: Job, *, replayed: bool) -> Response:
    """202 for a job that was just made, after the wait that its caller prefers; or `replayed`, made before under the
    same Idempotency-Key.
    """
    if prefer.wait_s is not None:
        job = jobs.get(job.id, prefer.wait_s, owner=caller().sees)
    response = accepted(job, prefer, answers.job_flags(job))
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def _may_be_small() -> bool:
    plain = request.mimetype == "application/json" and "Content-Encoding" not in request.headers
    plain = plain and request.mimetype_params.get("charset", "utf-8").lower() == "utf-8"
    return plain and 0 < (request.content_length or 0) <= _AT_ONCE_BYTES


def _header(upload: Texts) -> Header | None:
    if upload.columns is None or upload.text_column is None:
        return None
    return Header(upload.columns, upload.text_column)


def _source(upload: Texts) -> Source | None:
    found = upload.found
    if found == Found():
        return None
    return Source(found.encoding, found.guessed, found.delimiter, found.bom, found.sheet, found.file)


def _asked(query: UploadQuery, options: Mapping[str, str]) -> Asked:
    """What is asked of each text, by the query and by what the body says."""
    said = {name: options[name] for name in ("target", "sentences") if name in options}
    checked = UploadQuery.read({"target": query.target, "sentences": query.sentences} | said)
    return Asked(checked.target, checked.sentences)


AnswerAtOnce = Callable[[Sequence[str], float, str, str | None], list[Line] | None]
"""Answers texts within so many seconds: their lines, or None if some have no outcome by then. It gets the texts, the
seconds, the caller, and the name of the model that was asked for."""


def jobs_blueprint(
    jobs: JobService,
    limits: Limits,
    answer_at_once: AnswerAtOnce,
    answers: PredictionAnswers,
    sandbox: Sandbox,
    listeners: Listeners,
    *,
    predict_timeout_s: float,
    charge: Count,
) -> Blueprint:
    """The blueprint of `/batch_predict` and `/jobs`. `charge`: as how many texts one counts against its caller's
    limits.
    """
    blueprint = Blueprint("jobs", __name__)

    def told(job: Job) -> dict[str, object]:
        return job_body(job) | answers.job_flags(job)

    def at_once(raw: bytes, prefer: Preferences, model: str | None) -> Response | int:
        """The answer to a small batch whose caller wants the predictions themselves; or, if it must become a job, the
        number of its texts that were counted on the caller's quota.
        """
        try:
            value = parse_json(raw)
        except (MalformedJson, InvalidEncoding):
            return 0  # it may be lines, or in another encoding
        if not (isinstance(value, dict) and "texts" in value):
            return 0
        upload = batch_texts(value, Options())
        entries = [entry for _, entry in islice(upload.entries, _AT_ONCE_TEXTS + 1)]
        more = upload.options.keys() - {"model"}
        if more or upload.columns is not None or len(entries) > _AT_ONCE_TEXTS:
            return 0
        texts = [entry.text for entry in entries]
        count = sum(map(charge, texts))
        model = upload.options.get("model", model)
        jobs.require_model(model)
        caller().charge(rate=count - 1, quota=count, rate_counted=1)  # one was counted with the request
        lines = answer_at_once(texts, prefer.wait_or(predict_timeout_s), caller().id, model)
        if lines is None:
            return count
        if any(entry.id is not None for entry in entries):
            lines = [replace(line, entry=entry) for line, entry in zip(lines, entries, strict=True)]
        response = Response(answers.lines(lines), mimetype="application/json")
        response.headers["Preference-Applied"] = ", ".join(filter(None, ("return=representation", prefer.applied)))
        return response

    @blueprint.post("/batch_predict")
    def batch_predict() -> Response:
        query = UploadQuery.read(request.args.to_dict())
        key = idempotency_key()
        prefer = preferences()
        body = body_pieces()
        paid = 0
        with drained(body):
            if prefer.representation and key is None and query.callback_url is None and _may_be_small():
                raw = b"".join(body)
                answer = at_once(raw, prefer, query.model)
                if isinstance(answer, Response):
                    return answer
                paid = answer
                body = iter([raw])
            upload = received(body, limits, sandbox.unpack)
            callback_url = upload.options.get("callback_url", query.callback_url)
            job, replayed = jobs.submit(
                Submission(
                    upload.entries,
                    _header(upload),
                    lambda: (_header(upload), _source(upload)),
                    one_line(upload.options.get("name", "")) or query.called or upload.name,
                    callback_url,
                    upload.options.get("model", query.model),
                    key,
                    caller=caller().id,
                    owner=caller().owner,
                    asked=_asked(query, upload.options),
                    bill=caller().bill(paid=paid),
                )
            )
        return taken(jobs, answers, prefer, job, replayed=replayed)

    def find(job_id: str, wait_s: float = 0.0) -> Job:
        return found_job(jobs, job_id, wait_s)

    @blueprint.get("/jobs")
    def newest() -> Response:
        query = JobsQuery.read(request.args.to_dict())
        before = None
        if query.cursor is not None:
            created_at, _, job_id = query.cursor.partition("-")
            before = (float(created_at), job_id)
        found, end = jobs.newest(
            before, JobStatus(query.status) if query.status is not None else None, query.limit, caller().sees
        )
        following = None
        if end is not None:
            cursor = f"{end[0]!r}-{end[1]}"
            following = url_for("jobs.newest", limit=query.limit, cursor=cursor, status=query.status)
        return Response(
            orjson.dumps({"items": [told(job) for job in found], "next": following}), mimetype="application/json"
        )

    @blueprint.get("/jobs/<job_id>")
    def job(job_id: str) -> Response:
        prefer = preferences()
        response = Response(orjson.dumps(told(find(job_id, prefer.wait_or(0.0)))), mimetype="application/json")
        if prefer.applied is not None:
            response.headers["Preference-Applied"] = prefer.applied
        return response

    @blueprint.delete("/jobs/<job_id>")
    def cancel(job_id: str) -> Response:
        query = DeleteQuery.read(request.args.to_dict())
        find(job_id)
        if query.purge:
            jobs.remove(job_id)
            return nothing()
        job = jobs.cancel(job_id)
        return accepted(job, Preferences(respond_async=False, wait_s=None), answers.job_flags(job))

    @blueprint.get("/jobs/<job_id>/results")
    def results(job_id: str) -> Response:
        query = ResultsQuery.read(request.args.to_dict())
        found = find(job_id)
        if found.is_passing:
            raise ResultsNotKept(found.stream_name or "")
        list_header("Accept")
        mimetype = request.accept_mimetypes.best_match(list(_FORMATS), default="application/json")
        wanted = query.format or _FORMATS[mimetype or "application/json"]
        if query.like_input and (wanted != "csv" or found.source is None or found.source.delimiter is None):
            raise invalid_option(
                "`like_input` has no effect but on the CSV of a job that was sent as CSV; leave it out."
            )
        if wanted == "xlsx":
            return workbook(found, query)
        if wanted != "json":
            return download(found, wanted, query)
        limit = min(query.limit or _PAGE_LINES, _MAX_PAGE_LINES)
        items = json_page(found, jobs.lines(found, query.cursor, limit), answers.flags)
        end = query.cursor + len(items)
        body = {
            "job": told(found),
            "items": items,
            "next": url_for("jobs.results", job_id=job_id, cursor=end, limit=limit) if end < found.total else None,
        }
        return Response(orjson.dumps(body), mimetype="application/json", headers={"Vary": "Accept"})

    def workbook(found: Job, query: ResultsQuery) -> Response:
        if query.raw:
            raise invalid_option("`raw` has no effect on .xlsx, whose cells are never formulas; leave it out.")
        if query.like_input:
            raise invalid_option("`like_input` has no effect on .xlsx; leave it out.")
        count = max(0, min(found.total - query.cursor, found.total if query.limit is None else query.limit))
        if count > MOST_ROWS - 1:
            raise invalid_option(
                f"A sheet has room for {MOST_ROWS - 1} lines, and these are {count}; fetch them in parts (`cursor`,"
                " `limit`), or as CSV."
            )
        pieces = sandbox.workbook(workbook_rows(found, jobs.lines(found, query.cursor, count), answers.flags))
        response = Response(mimetype=_XLSX)
        response.headers["Vary"] = "Accept"
        response.headers["Content-Disposition"] = disposition(found, "-scored.xlsx")
        response.response = pieces
        return response

    def download(found: Job, wanted: str, query: ResultsQuery) -> Response:
        lines = jobs.lines(found, query.cursor, found.total if query.limit is None else query.limit)
        if wanted == "ndjson":
            pieces = ndjson(found, lines, answers.flags)
        else:
            pieces = csv_file(found, lines, answers.flags, raw=query.raw, like_input=query.like_input)
        response = Response(mimetype="application/x-ndjson" if wanted == "ndjson" else "text/csv")
        response.headers["Vary"] = "Accept, Accept-Encoding"
        response.headers["Content-Disposition"] = disposition(found, f"-scored.{wanted}")
        list_header("Accept-Encoding")
        if request.accept_encodings.quality("gzip") > 0:
            response.headers["Content-Encoding"] = "gzip"
            pieces = gzipped(pieces)
        response.response = pieces
        return response

    @blueprint.get("/jobs/<job_id>/events")
    def listen(job_id: str) -> Response:
        found = find(job_id)
        last = request.headers.get("Last-Event-ID", "")
        revision = int(last) if re.fullmatch(r"[0-9]{1,15}", last) else -1
        if found.status in TERMINAL and revision >= found.revision:
            return nothing()  # the end was sent before; 204 keeps browsers from connecting again
        same = {name: value for name, value in job_body(found).items() if name in ("links", "owner")}
        listens_as = caller().id

        def body(job: Job) -> dict[str, object]:
            return job_facts(job) | same | answers.job_flags(job)

        def stream() -> Iterator[bytes]:
            with listeners.place(listens_as) as listener:
                yield from events(jobs, job_id, revision, body, listener)

        response = Response(stream(), mimetype="text/event-stream")
        response.headers["X-Accel-Buffering"] = "no"
        return response

    return blueprint
