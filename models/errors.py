"""
What can go wrong between bytes and embeddings.

ModelsError
├── MediaError                 the upload is at fault
│   ├── EmptyMedia             no bytes at all
│   ├── UnsupportedMedia       not a picture, or a format nobody reads
│   ├── CorruptMedia           a picture, but truncated or broken
│   ├── MediaTooLarge          more bytes than allowed
│   ├── TooManyPixels          more pixels than allowed: a decompression bomb, perhaps
│   ├── TooManyFrames          more animation frames than allowed
│   └── DecodingTooCostly      decoding took too long or too much memory and was killed
├── DecoderClosed              the decoder is shutting down
├── BadHash                    not a PDQ hash
├── ModelUnavailable           the model cannot be opened
│   ├── UnknownModel           no such name, or it cannot be parsed
│   ├── WeightsMissing         the weights are not there or cannot be reached
│   ├── BadViews               its views.json cannot be read (models/views.py)
│   ├── BadCalibration         its calibration record cannot be read (models/calibration.py)
│   └── GoldenMismatch         weights or preprocessing do not give the recorded embedding
└── EmbeddingError             the request cannot be embedded
    ├── EmbeddingFailed        the model failed on this picture, alone
    ├── QueueFull              too many pictures are waiting
    ├── DeadlinePassed         the caller's time ran out before its turn
    └── EmbedderClosed         the service is shutting down
"""


class ModelsError(Exception):
    """Anything this package raises on purpose."""


class MediaError(ModelsError):
    """The upload is at fault; the sentence is safe to show to its sender."""


class EmptyMedia(MediaError):
    pass


class UnsupportedMedia(MediaError):
    pass


class CorruptMedia(MediaError):
    pass


class MediaTooLarge(MediaError):
    pass


class TooManyPixels(MediaError):
    pass


class TooManyFrames(MediaError):
    pass


class DecodingTooCostly(MediaError):
    pass


class DecoderClosed(ModelsError):
    """The service is shutting down; another process may take the upload."""


class BadHash(ModelsError):
    pass


class ModelUnavailable(ModelsError):
    """The model cannot be opened; the sentence says what to do."""


class UnknownModel(ModelUnavailable):
    pass


class WeightsMissing(ModelUnavailable):
    pass


class GoldenMismatch(ModelUnavailable):
    pass


class EmbeddingError(ModelsError):
    """This request cannot be embedded now."""


class EmbeddingFailed(EmbeddingError):
    pass


class QueueFull(EmbeddingError):
    pass


class DeadlinePassed(EmbeddingError):
    pass


class EmbedderClosed(EmbeddingError):
    pass
