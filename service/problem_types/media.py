"""Problems of what was sent to be looked at."""

from typing import Final

import index.errors as indexing
import models.errors as modelling
import service.errors as serving
from service.problem_types.kind import ProblemType

MEDIA: Final = (
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
