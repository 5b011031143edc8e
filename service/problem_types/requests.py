"""Problems of a request as such, whatever it asks for."""

from typing import Final

import index.errors as indexing
import models.errors as modelling
import service.errors as serving
from service.problem_types.kind import ProblemType

REQUESTS: Final = (
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
