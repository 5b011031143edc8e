"""`/v1/match`: what is known about an upload."""

import math
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from flask import Blueprint, g
from flask.typing import ResponseReturnValue

from index.records.keys import Scope
from service.admission import Admission
from service.auth import caller_may, organisation_of_upload, recording_of, take_queries, viewer
from service.inputs import EmbeddingsBody, ExplainableParameters, MatchParameters
from service.keys.disclosure import coarsened
from service.matching.asked_banks import BankChoice
from service.matching.matcher import Matcher, MatchOptions
from service.matching.queries import Signature
from service.openapi import Description, Operation, Reply
from service.problem_types import problem_type_of
from service.problems import problem_of
from service.routes import described
from service.routes.bodies import JSON, BodyLimits, read_json_body, read_upload, read_uploads
from service.routes.operations import Operations, answer, parameters
from service.schemas import Answer, BatchAnswer, Problem

_ROWS_A_QUERY = 8
"""Embeddings or hashes sent together that count as one query: as many as are looked at of an animated upload."""
_ASKING = ("invalid-parameter", "unknown-parameter", "unknown-bank", "unknown-incident", "index-behind")
_LOAD = ("not-ready", "queue-full", "deadline-passed", "shutting-down", "catalog-unavailable")
_ANSWER = Reply("What is known; an empty list of matches is a good answer.", Answer)

_MATCH = Operation(
    method="post",
    path="/v1/match",
    name="match",
    tag="Matching",
    summary="Is this a re-upload of something known?",
    description="The body is the media itself, which is fastest, or multipart with the field `media`.",
    parameters=ExplainableParameters,
    bodies=described.ONE_FILE,
    replies={200: _ANSWER},
    problems=(*described.MEDIA_PROBLEMS, *_ASKING, *_LOAD),
)
_MATCH_EMBEDDINGS = Operation(
    method="post",
    path="/v1/match/embeddings",
    name="matchEmbeddings",
    tag="Matching",
    summary="The same, for who decodes and embeds elsewhere",
    parameters=MatchParameters,
    bodies={JSON: EmbeddingsBody},
    replies={200: _ANSWER},
    problems=(*described.JSON_PROBLEMS, *described.SIGNATURE_PROBLEMS, *_ASKING, *_LOAD),
)
_MATCH_BATCH = Operation(
    method="post",
    path="/v1/match/batch",
    name="matchBatch",
    tag="Matching",
    summary="Many files at once, each answered for itself",
    parameters=MatchParameters,
    replies={200: Reply("An answer or a problem for each file, in order.", BatchAnswer)},
    problems=(*described.BODY_PROBLEMS, "bad-multipart", *_ASKING, *_LOAD),
)


@dataclass(frozen=True, slots=True)
class Doors:
    """What every route that takes media needs to know before it takes it."""

    admission: Admission
    limits: BodyLimits
    request_timeout_s: float

    def deadline(self) -> float:
        return time.monotonic() + self.request_timeout_s


def match_blueprint(matcher: Matcher, doors: Doors, together: Executor, description: Description) -> Blueprint:
    routes = Blueprint("match", __name__)
    operations = Operations(routes, description)

    @operations.on(_MATCH)
    def match() -> ResponseReturnValue:
        with doors.admission.place():
            query = parameters(ExplainableParameters)
            options = _options(query)
            upload = read_upload(doors.limits)
            timed = replace(options, explain=query.explain, deadline=doors.deadline())
            return answer(_shown(matcher.match(upload.data, timed)))

    @operations.on(_MATCH_EMBEDDINGS)
    def match_embeddings() -> ResponseReturnValue:
        with doors.admission.place():
            options = _options(parameters(MatchParameters))
            body = read_json_body(EmbeddingsBody, doors.limits)
            signature = Signature(body.embedder_id, body.embeddings, body.pdq)
            take_queries(math.ceil(max(len(body.embeddings), len(body.pdq)) / _ROWS_A_QUERY))
            found = matcher.match_embeddings(signature, replace(options, deadline=doors.deadline()))
            return answer(_shown(found))

    @operations.on(replace(_MATCH_BATCH, bodies=described.many_files(doors.limits.batch_files)))
    def match_batch() -> ResponseReturnValue:
        with doors.admission.place():
            options = _options(parameters(MatchParameters))
            uploads = read_uploads(doors.limits)
            take_queries(len(uploads))
            timed = replace(options, deadline=doors.deadline())
            results = together.map(lambda data: _alone(lambda: matcher.match(data, timed), timed.request_id), uploads)
            shown = [_shown(each) if isinstance(each, Answer) else each for each in results]
            return answer(BatchAnswer(request_id=options.request_id, results=shown))

    return routes


def _options(query: MatchParameters) -> MatchOptions:
    """The query of a request, whose time begins when its body is there."""
    return MatchOptions(
        choice=BankChoice(frozenset(query.bank), query.incident, viewer().platform),
        platform=organisation_of_upload(query),
        k=query.k,
        min_band=query.min_band,
        min_index_version=query.min_index_version,
        publisher=query.publisher,
        verify=query.verify,
        recording=recording_of(query),
        request_id=g.request_id,
    )


def _shown(found: Answer) -> Answer:
    """As this caller may see it."""
    return found if caller_may(Scope.READ) else coarsened(found)


def _alone(match: Callable[[], Answer], request_id: str) -> Answer | Problem:
    """One file of a batch: what is wrong with it is its own result. What is wrong with the request is everyone's."""
    try:
        return match()
    except Exception as error:
        if problem_type_of(error).status in {404, 500, 503, 507}:
            raise
        return problem_of(error, request_id)
