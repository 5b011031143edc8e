"""Every problem a caller can be answered with: its stable type, its status, what it means and what to do."""

from dataclasses import dataclass
from typing import Final

import index.errors as indexing
import models.errors as modelling
import service.errors as serving


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One `type` of RFC 9457; the page at `/problems/<slug>` is made of this."""

    slug: str
    status: int
    title: str
    remedy: str
    raised_by: tuple[type[Exception], ...] = ()
    retry_after_s: int | None = None

    @property
    def uri(self) -> str:
        return f"/problems/{self.slug}"


INTERNAL: Final = ProblemType(
    "internal-error",
    500,
    "Something went wrong here",
    "It is our fault, not the request's. Tell the operator the request id: the log has the place, without content.",
)
NOT_FOUND: Final = ProblemType(
    "not-found", 404, "There is nothing at this address", "See /docs for the addresses there are."
)
METHOD_NOT_ALLOWED: Final = ProblemType(
    "method-not-allowed", 405, "This address does not take this method", "The Allow header names those it takes."
)
BAD_REQUEST: Final = ProblemType(
    "bad-request", 400, "The request cannot be understood", "Send it as /docs describes it."
)

_REQUESTS: Final = (
    ProblemType(
        "empty-body",
        400,
        "The body is empty",
        "Send the media itself, or multipart with the field `media`.",
        (serving.EmptyBody, modelling.EmptyMedia),
    ),
    ProblemType(
        "bad-json", 400, "The body is not JSON", "`errors` points at where reading stopped.", (serving.BadJson,)
    ),
    ProblemType(
        "bad-multipart",
        400,
        "The multipart body lacks what is needed",
        "Send the file as a part named `media`, with a file name.",
        (serving.BadMultipart,),
    ),
    ProblemType(
        "unsupported-content-type",
        415,
        "This kind of body is not read here",
        "Send image/*, application/octet-stream or multipart/form-data; JSON where it is described.",
        (serving.UnsupportedContentType,),
    ),
    ProblemType(
        "body-too-large",
        413,
        "The request has too many bytes",
        "The limits are the settings MAX_BYTES, JSON_BYTES, BATCH_BYTES and BATCH_FILES.",
        (serving.BodyTooLarge,),
    ),
    ProblemType(
        "body-timeout",
        408,
        "The body did not arrive in time",
        "Send it again.",
        (serving.BodyTimeout,),
    ),
    ProblemType(
        "invalid-parameter",
        422,
        "A parameter is outside what is allowed",
        "`errors` names each one and what it takes.",
        (serving.InvalidParameter,),
    ),
    ProblemType(
        "unknown-parameter",
        422,
        "A query parameter does not exist",
        "`errors` names it. A misspelt parameter is refused rather than ignored.",
        (serving.UnknownParameter,),
    ),
    ProblemType(
        "invalid-field",
        422,
        "The JSON is not what is described",
        "`errors` points at each field.",
        (serving.InvalidField,),
    ),
    ProblemType(
        "source-refused",
        403,
        "A job cannot read this, or may not",
        "`errors` says why. What jobs may read on the service's machine lies below the folders of the setting "
        "INGEST_ROOTS.",
        (serving.SourceRefused,),
    ),
    ProblemType(
        "unknown-host",
        421,
        "The request is addressed to another machine",
        "A service on a loopback address answers to localhost alone. Behind a proxy that authenticates, set "
        "AFTERIMAGE_TRUST_NETWORK=true.",
        (serving.UnknownHost,),
    ),
    ProblemType(
        "bad-cursor",
        404,
        "There is no such place in this list",
        "Take `next` as it was answered, or start again without a cursor.",
        (indexing.BadCursor,),
    ),
)
_MEDIA: Final = (
    ProblemType(
        "unsupported-media",
        415,
        "Not a picture that can be read",
        "JPEG, PNG, WebP, GIF, AVIF, BMP and TIFF are read; HEIC where the extra is installed.",
        (modelling.UnsupportedMedia,),
    ),
    ProblemType(
        "corrupt-media",
        422,
        "The picture is truncated or broken",
        "Upload it again; nothing is guessed from half a picture.",
        (modelling.CorruptMedia,),
    ),
    ProblemType(
        "media-too-large",
        413,
        "The upload has too many bytes",
        "The limit is the setting MAX_BYTES.",
        (modelling.MediaTooLarge,),
    ),
    ProblemType(
        "too-many-pixels",
        413,
        "The picture has too many pixels",
        "The limit is the setting MAX_PIXELS; it is checked before anything is decoded.",
        (modelling.TooManyPixels,),
    ),
    ProblemType(
        "too-many-frames",
        413,
        "The animation has too many frames",
        "The limit is the setting MAX_FRAMES.",
        (modelling.TooManyFrames,),
    ),
    ProblemType(
        "decoding-too-costly",
        422,
        "Decoding took too long or too much memory",
        "It was stopped before it could harm other requests. The limits are DECODE_TIMEOUT_MS and DECODE_MEMORY_BYTES.",
        (modelling.DecodingTooCostly,),
    ),
    ProblemType(
        "low-information",
        422,
        "There is too little to see in this picture to bank it",
        "Blank and nearly blank pictures would match too much. `force=true` banks it all the same.",
        (serving.LowInformation,),
    ),
    ProblemType(
        "bad-hash",
        422,
        "Not a PDQ hash",
        "A PDQ hash is 64 hexadecimal digits.",
        (modelling.BadHash, serving.InvalidHash),
    ),
    ProblemType(
        "bad-embedding",
        422,
        "Not an embedding of this space",
        "An embedding has the space's length, is finite throughout and has norm 1.",
        (indexing.BadEmbedding, serving.InvalidEmbedding),
    ),
    ProblemType(
        "embedding-failed",
        422,
        "The model gave no embedding for this picture",
        "It failed alone; trying again will not help. Other requests are not affected.",
        (modelling.EmbeddingFailed,),
    ),
)
_STATE: Final = (
    ProblemType(
        "unauthenticated",
        401,
        "A key is needed, and none that is valid was shown",
        "Send `Authorization: Bearer` and the key. Whoever runs the service makes one: `afterimage keys create`.",
        (serving.NotAuthenticated,),
    ),
    ProblemType(
        "forbidden",
        403,
        "The key does not allow this",
        "`detail` names the scope that is needed. Whoever runs the service makes keys with other scopes.",
        (serving.ScopeMissing,),
    ),
    ProblemType(
        "budget-spent",
        429,
        "The key has asked as much as it may for now",
        "Try again after the seconds of Retry-After. "
        "`RateLimit` says how the key stands, `RateLimit-Policy` what it may.",
        (serving.BudgetSpent,),
        retry_after_s=1,
    ),
    ProblemType("unknown-key", 404, "There is no such key", "GET /v1/keys lists them.", (indexing.UnknownKey,)),
    ProblemType(
        "role-conflict",
        409,
        "The participant has another role",
        "A participant keeps the role it was made with. Name that, or take another name.",
        (indexing.RoleConflict,),
    ),
    ProblemType(
        "key-unusable",
        409,
        "The key has ended",
        "It has expired, was revoked or was replaced already. Make a new one.",
        (indexing.KeyUnusable,),
    ),
    ProblemType("unknown-bank", 404, "There is no such bank", "GET /v1/banks lists them.", (indexing.UnknownBank,)),
    ProblemType("unknown-item", 404, "There is no such item in this bank", "", (indexing.UnknownItem,)),
    ProblemType("unknown-space", 404, "There is no such space", "GET /v1/spaces lists them.", (indexing.UnknownSpace,)),
    ProblemType(
        "wrong-stage",
        409,
        "The space is not in a stage for this",
        "GET /v1/spaces says in which it is.",
        (indexing.WrongStage,),
    ),
    ProblemType(
        "items-left-behind",
        409,
        "Items would not be found any more",
        "GET /v1/spaces/{space} names them. Fill them in (`afterimage reindex`), keep the old space beside the new one "
        "(`keep_old=true`), or say that they may be lost to semantic search (`leave_behind=true`).",
        (indexing.ItemsLeftBehind,),
    ),
    ProblemType(
        "space-not-open",
        409,
        "Not every process that answers has the space open",
        "Try again in some seconds. GET /v1/spaces/{space} says which process does not, and why.",
        (indexing.SpaceNotOpen,),
    ),
    ProblemType("unknown-job", 404, "There is no such job", "GET /v1/jobs lists them.", (indexing.UnknownJob,)),
    ProblemType(
        "job-state-conflict",
        409,
        "The job is not in a state for this",
        "GET /v1/jobs/{job_id} says what it is doing.",
        (indexing.JobStateConflict,),
    ),
    ProblemType(
        "job-file-missing",
        404,
        "The job has no such file here",
        "It has one when it is done and there is something in it; a job done on another machine has it there.",
        (serving.JobFileMissing,),
    ),
    ProblemType(
        "original-missing",
        404,
        "The original is not kept",
        "It was banked while AFTERIMAGE_ORIGINALS was `none`, from a signature alone, or by a release that kept none.",
        (serving.OriginalMissing,),
    ),
    ProblemType(
        "original-being-removed",
        503,
        "The original of these bytes is being deleted at this moment",
        "Somebody removed the last item of them just now. Bank them again.",
        (indexing.OriginalBeingRemoved,),
        retry_after_s=1,
    ),
    ProblemType(
        "originals-unavailable",
        503,
        "The store of originals does not work",
        "Nothing was banked. Look at the place that the setting ORIGINALS names.",
        (serving.OriginalsUnavailable,),
        retry_after_s=5,
    ),
    ProblemType(
        "unknown-incident",
        404,
        "There is no such incident",
        "Incidents are not in this release, so none exists yet.",
        (serving.UnknownIncident,),
    ),
    ProblemType(
        "bank-purpose-conflict",
        409,
        "The bank was made with another purpose",
        "A bank keeps its purpose. Use another name, or delete the bank and its items first.",
        (indexing.BankPurposeConflict,),
    ),
    ProblemType(
        "space-mismatch",
        409,
        "The embeddings belong to a space that is not served here",
        "Embeddings of different spaces are never compared. Make them with a model that is served.",
        (indexing.SpaceMismatch,),
    ),
    ProblemType(
        "idempotency-key-reused",
        422,
        "This Idempotency-Key was used with another request",
        "Use a new key for a new request.",
        (indexing.IdempotencyConflict,),
    ),
)
_CAPACITY: Final = (
    ProblemType(
        "queue-full",
        503,
        "Too much is waiting already",
        "Try again after the seconds of Retry-After.",
        (modelling.QueueFull, serving.Overloaded),
        retry_after_s=1,
    ),
    ProblemType(
        "deadline-passed",
        503,
        "The request's time ran out before its turn",
        "It was dropped before it cost anything. The limit is REQUEST_TIMEOUT_MS.",
        (modelling.DeadlinePassed,),
        retry_after_s=1,
    ),
    ProblemType(
        "shutting-down",
        503,
        "This worker is shutting down",
        "Try again: another one answers.",
        (modelling.EmbedderClosed, modelling.DecoderClosed),
        retry_after_s=1,
    ),
    ProblemType(
        "not-ready",
        503,
        "The service is not ready",
        "`checks` says what each part answered.",
        (serving.NotReady,),
        retry_after_s=1,
    ),
    ProblemType(
        "index-behind",
        503,
        "The index did not reach the version that was asked for in time",
        "Try again, or ask without `min_index_version`. The wait is INDEX_WAIT_MS.",
        (indexing.IndexBehind,),
        retry_after_s=1,
    ),
    ProblemType(
        "catalog-unavailable",
        503,
        "The catalog cannot be reached or written",
        "Nothing was acknowledged. Try again; the operator finds more with `afterimage doctor`.",
        (indexing.CatalogUnavailable,),
        retry_after_s=2,
    ),
    ProblemType(
        "storage-full",
        507,
        "There is no room to write",
        "Nothing was acknowledged. The operator must make room.",
        (indexing.StorageFull,),
    ),
)

PROBLEMS: Final = (*_REQUESTS, *_MEDIA, *_STATE, *_CAPACITY, BAD_REQUEST, NOT_FOUND, METHOD_NOT_ALLOWED, INTERNAL)


def problem_type_of(error: BaseException) -> ProblemType:
    """The problem an error is answered with: the one of its nearest class."""
    owners = {raised: problem for problem in PROBLEMS for raised in problem.raised_by}
    for kind in type(error).__mro__:
        if kind in owners:
            return owners[kind]
    return INTERNAL


def problem_type(slug: str) -> ProblemType | None:
    return next((problem for problem in PROBLEMS if problem.slug == slug), None)
