"""Reading bodies: within a limit of bytes, whole, and only of the kinds that were announced."""

import io
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Final

from flask import Request, request
from gunicorn.http.errors import ParseException
from pydantic import TypeAdapter, ValidationError
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import BadRequest, ClientDisconnected

from service.errors import (
    BadMultipart,
    BodyTimeout,
    BodyTooLarge,
    EmptyBody,
    Fault,
    InvalidField,
    UnsupportedContentType,
)
from service.inputs import LabelSet, Model, read_json
from service.schemas import LabelValues
from service.settings import Settings

MEDIA_FIELD: Final = "media"
LABELS_FIELD: Final = "labels"
JSON: Final = "application/json"
MULTIPART: Final = "multipart/form-data"
BINARY: Final = "application/octet-stream"
_MULTIPART_ROOM = 64 * 1024
"""What boundaries, part headers and labels may take beside the media."""
_LABELS: TypeAdapter[LabelValues] = TypeAdapter(LabelSet)


class MemoryRequest(Request):
    """Keeps uploaded files in memory, which the limits bound: somebody's media never touch the disk."""

    def _get_file_stream(self, *_: object, **__: object) -> IO[bytes]:
        return io.BytesIO()


@dataclass(frozen=True, slots=True)
class BodyLimits:
    media_bytes: int
    json_bytes: int
    batch_bytes: int
    batch_files: int

    @classmethod
    def of(cls, settings: Settings) -> "BodyLimits":
        return cls(
            media_bytes=settings.max_bytes,
            json_bytes=settings.json_bytes,
            batch_bytes=settings.batch_bytes,
            batch_files=settings.batch_files,
        )


@dataclass(frozen=True, slots=True)
class Upload:
    """One file, and what was said about it."""

    data: bytes
    labels: LabelValues


def is_json() -> bool:
    return request.mimetype == JSON


def read_upload(limits: BodyLimits, fields: Collection[str] = (MEDIA_FIELD,)) -> Upload:
    """
    The media of this request: the body itself, or the field `media` of a multipart body.

    Raises:
        EmptyBody, UnsupportedContentType, BadMultipart, BodyTooLarge, BodyTimeout
    """
    kind = request.mimetype
    if kind == MULTIPART:
        files, labels = _read_multipart(limits.media_bytes + _MULTIPART_ROOM, limits, fields)
        if len(files) != 1:
            raise BadMultipart("One file in the field `media` is wanted.", [Fault("/media", f"{len(files)} files")])
        data = _within(files[0], limits.media_bytes)
    elif kind == BINARY or kind.startswith(("image/", "video/")):
        data, labels = _read(limits.media_bytes), {}
    else:
        raise UnsupportedContentType(
            "The body is none of image/*, video/*, application/octet-stream and multipart/form-data."
        )
    if not data:
        raise EmptyBody("The body is empty: send the media itself, or multipart with the field `media`.")
    return Upload(data, labels)


def read_uploads(limits: BodyLimits) -> list[bytes]:
    """
    The files of a batch, in order; they may be empty or too large, each for itself.

    Raises:
        EmptyBody, UnsupportedContentType, BadMultipart, BodyTooLarge, BodyTimeout
    """
    if request.mimetype != MULTIPART:
        raise UnsupportedContentType("A batch is multipart/form-data with one file or more in the field `media`.")
    files, _ = _read_multipart(limits.batch_bytes, limits, (MEDIA_FIELD,))
    if not files:
        raise BadMultipart("No file in the field `media`.", [Fault("/media", "missing")])
    return [file.stream.read(limits.media_bytes + 1) for file in files]


def read_json_body(model: type[Model], limits: BodyLimits) -> Model:
    """
    Raises:
        EmptyBody, UnsupportedContentType, BadJson, InvalidField, BodyTooLarge, BodyTimeout
    """
    if not is_json():
        raise UnsupportedContentType("The body is not application/json.")
    body = _read(limits.json_bytes)
    if not body.strip():
        raise EmptyBody("The body is empty: JSON is wanted.")
    return read_json(model, body)


def _read(most: int) -> bytes:
    """The whole body; refused by its announced length before a byte of it is read."""
    announced = request.content_length
    if announced is not None and announced > most:
        raise BodyTooLarge(f"The body is over {most} bytes.")
    body = bytearray()
    with _arriving():
        while piece := request.stream.read(most + 1 - len(body)):
            body += piece
            if len(body) > most:
                raise BodyTooLarge(f"The body is over {most} bytes.")
    if announced is not None and len(body) < announced:
        raise BodyTimeout("The body ended before its announced length.")
    return bytes(body)


def _read_multipart(most: int, limits: BodyLimits, fields: Collection[str]) -> tuple[list[FileStorage], LabelValues]:
    request.max_content_length = most
    request.max_form_parts = limits.batch_files + len(fields)
    if request.content_length is not None and request.content_length > most:
        raise BodyTooLarge(f"The body is over {most} bytes.")
    with _arriving():
        unknown = {*request.files, *request.form} - set(fields)
    if unknown:
        raise BadMultipart("A field does not exist.", [Fault("", f"fields are {', '.join(fields)}")])
    if MEDIA_FIELD in request.form:
        raise BadMultipart("The field `media` needs a file name.", [Fault("/media", "sent as text")])
    if LABELS_FIELD in request.files:
        raise BadMultipart("The field `labels` is text, without a file name.", [Fault("/labels", "sent as a file")])
    return request.files.getlist(MEDIA_FIELD), _labels(request.form.getlist(LABELS_FIELD))


def _labels(texts: list[str]) -> LabelValues:
    """Labels beside a file are a field of JSON."""
    if not texts:
        return {}
    if len(texts) > 1:
        raise BadMultipart("The field `labels` is given more than once.", [Fault("/labels", f"{len(texts)} times")])
    try:
        return _LABELS.validate_json(texts[0], strict=True)
    except ValidationError:
        raise InvalidField(
            "The field `labels` is not a JSON object of plain values.", [Fault("/labels", "not labels")]
        ) from None


def _within(file: FileStorage, most: int) -> bytes:
    data = file.stream.read(most + 1)
    if len(data) > most:
        raise BodyTooLarge(f"The file is over {most} bytes.")
    return data


@contextmanager
def _arriving() -> Iterator[None]:
    """A sender who goes away or takes too long: the server ends the reading of a request whose time is up."""
    try:
        yield
    except ParseException:  # not chunks, though it was said to come in chunks
        raise BadRequest from None
    except (OSError, ClientDisconnected):
        raise BodyTimeout("The body did not arrive whole in time.") from None
