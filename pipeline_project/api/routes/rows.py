"""`/analytics/jobs/…/rows`: the rows of a job in pages, for clients that want no file."""

from pipeline_project import exact_json
from pipeline_project.api.http.principal import principal
from pipeline_project.api.http.problems import Problem
from pipeline_project.api.http.replies import Reply
from pipeline_project.api.http.requests import Request
from pipeline_project.api.routes.jobs import finished_result, known_job, whole_number
from pipeline_project.results.options import Numbers
from pipeline_project.services import Services

USUAL_ROWS = 1_000
MOST_ROWS = 10_000
MOST_BYTES = 1024 * 1024
"""Bytes of rows in a page. Lambda takes answers of 6 MB."""
MOST_OFFSET = 10**12


def job_rows(request: Request, services: Services, job_id: str) -> Reply:
    """GET: a page of rows, `limit` rows from `offset` on, or fewer if they are large."""
    from pipeline_project.results.pages import page  # noqa: PLC0415 the others need no file
    from pipeline_project.results.texts import with_numbers_as_text  # noqa: PLC0415

    given = request.query("offset", "limit", "numbers")
    offset = whole_number("offset", given.get("offset", "0"), 0, MOST_OFFSET)
    limit = whole_number("limit", given.get("limit", str(USUAL_ROWS)), 1, MOST_ROWS)
    if given.get("numbers", Numbers.TEXT) not in list(Numbers):
        raise Problem("invalid_query", f"numbers is one of {', '.join(Numbers)}")
    job = known_job(job_id, principal(request, services.settings), services)
    file = finished_result(job)
    if not job.format.is_paged:
        raise Problem("not_acceptable", f"the result is kept as {job.format}; pages need a job with json or ndjson")
    numbers = given.get("numbers", job.numbers)
    if numbers != job.numbers and job.numbers is Numbers.TEXT:
        raise Problem("not_acceptable", "the job wrote its numbers as text")
    try:
        found = page(services.s3, services.settings.results_bucket, file, offset, limit, MOST_BYTES)
    except services.s3.exceptions.NoSuchKey:
        raise Problem("result_expired", "the file was deleted when its time was over") from None
    rows = b",".join(found.rows)
    head = {
        "columns": file.columns,
        "offset": offset,
        "row_count": len(found.rows),
        "total_rows": file.rows,
        "next_offset": found.following,
        "truncated": file.truncated,
    }
    if numbers != job.numbers:
        rows = with_numbers_as_text(rows)
    # The rows of a job never change.
    headers = {"Cache-Control": f"private, max-age={services.settings.api_link_seconds}"}
    return Reply(200, exact_json.encode(head)[:-1] + b',"rows":[' + rows + b"]}", headers)
