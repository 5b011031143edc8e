"""How bodies and their problems are described, for the operations that share them."""

from collections.abc import Mapping
from typing import Any, Final

from service.routes.bodies import BINARY, LABELS_FIELD, MEDIA_FIELD, MULTIPART

_FILE: Final[dict[str, Any]] = {"type": "string", "contentMediaType": BINARY}
IMAGE_KINDS: Final = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/avif", "image/bmp", "image/tiff")


def _raw() -> dict[str, dict[str, Any]]:
    return {kind: {} for kind in (*IMAGE_KINDS, BINARY)}


def _multipart(properties: Mapping[str, Any]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": [MEDIA_FIELD],
        "properties": dict(properties),
        "additionalProperties": False,
    }
    return {"schema": schema}


_LABELS: Final[dict[str, Any]] = {
    "type": "string",
    "contentMediaType": "application/json",
    "description": "A JSON object of plain values.",
}
_KINDS: Final = {"encoding": {MEDIA_FIELD: {"contentType": ", ".join((*IMAGE_KINDS, BINARY))}}}
ONE_FILE: Final = {**_raw(), MULTIPART: {**_multipart({MEDIA_FIELD: _FILE}), **_KINDS}}
ONE_LABELLED_FILE: Final = {
    **_raw(),
    MULTIPART: {**_multipart({MEDIA_FIELD: _FILE, LABELS_FIELD: _LABELS}), **_KINDS},
}


def many_files(most: int) -> dict[str, dict[str, Any]]:
    return {MULTIPART: _multipart({MEDIA_FIELD: {"type": "array", "minItems": 1, "maxItems": most, "items": _FILE}})}


BODY_PROBLEMS: Final = ("empty-body", "unsupported-content-type", "body-too-large", "body-timeout", "unknown-host")
JSON_PROBLEMS: Final = (*BODY_PROBLEMS, "bad-json", "invalid-field")
MEDIA_PROBLEMS: Final = (
    *BODY_PROBLEMS,
    "bad-multipart",
    "unsupported-media",
    "corrupt-media",
    "media-too-large",
    "too-many-pixels",
    "too-many-frames",
    "decoding-too-costly",
    "embedding-failed",
)
SIGNATURE_PROBLEMS: Final = ("bad-hash", "bad-embedding", "space-mismatch")
QUERY_PROBLEMS: Final = ("invalid-parameter", "unknown-parameter", "unknown-host")
