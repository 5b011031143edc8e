"""Problems of banks, their items and originals."""

from typing import Final

import index.errors as indexing
import service.errors as serving
from service.problem_types.kind import ProblemType

BANKS: Final = (
    ProblemType("unknown-bank", 404, "There is no such bank", "GET /v1/banks lists them.", (indexing.UnknownBank,)),
    ProblemType("unknown-item", 404, "There is no such item in this bank", "", (indexing.UnknownItem,)),
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
        "bank-purpose-conflict",
        409,
        "The bank was made with another purpose",
        "A bank keeps its purpose. Use another name, or delete the bank and its items first.",
        (indexing.BankPurposeConflict,),
    ),
    ProblemType(
        "idempotency-key-reused",
        422,
        "This Idempotency-Key was used with another request",
        "Use a new key for a new request.",
        (indexing.IdempotencyConflict,),
    ),
)
