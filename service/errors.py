"""
What can go wrong between a request and its answer.

ServiceError
├── BadSettings                a setting is unknown or makes no sense
├── RefusedToStart             starting as told would not be safe
├── NotReady                   starting, draining, or a part of it does not work
├── Overloaded                 as many requests as are let in are being answered already
├── TooManyStreams             as many event streams are open as may be
├── LowInformation             too little to see in it to be banked unasked
├── MatchHeaderNeeded          a change must say which state of the thing it is of
├── NotAuthenticated           a key is needed, and none that is valid was shown
├── ScopeMissing               the key does not allow it
├── BudgetSpent                the key has asked as much as it may for now
├── JobFileMissing             a job has no such file on this machine
├── OriginalMissing            the original of an item is not kept
├── OriginalsUnavailable       the store of originals does not work
└── RequestError               the request cannot be understood; says where
    ├── EmptyBody              a body was needed
    ├── BadJson                not JSON
    ├── BadMultipart           not multipart, or not with the parts that are needed
    ├── UnsupportedContentType a kind of body that is not read here
    ├── BodyTooLarge           more bytes than this kind of request may have
    ├── BodyTimeout            the body did not arrive in time
    ├── InvalidParameter       a query, path or header value outside what is allowed
    ├── UnknownParameter       a query parameter that does not exist
    ├── InvalidField           JSON that is not what is described
    ├── SourceRefused          a job would read what is not there, or may not be read
    ├── InvalidEmbedding       wrong length, not finite, or not of norm 1
    ├── InvalidHash            not a PDQ hash
    └── UnknownHost            addressed to a name that is not this machine's
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from service.keys.budgets import Standing


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request, and where: a JSON pointer into the body, query, path or headers."""

    pointer: str
    detail: str
    where: Literal["body", "query", "path", "header"] = "body"


class ServiceError(Exception):
    """Anything this package raises on purpose; the sentence is safe to show."""


class BadSettings(ServiceError):
    pass


class RefusedToStart(ServiceError):
    pass


class NotReady(ServiceError):
    """Carries what each part said: `ok`, or what is wrong with it."""

    def __init__(self, message: str, checks: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.checks = dict(checks or {})


class Overloaded(ServiceError):
    pass


class TooManyStreams(ServiceError):
    pass


class LowInformation(ServiceError):
    pass


class MatchHeaderNeeded(ServiceError):
    pass


class NotAuthenticated(ServiceError):
    pass


class ScopeMissing(ServiceError):
    """Carries the scope that is needed."""

    def __init__(self, message: str, scope: str = "") -> None:
        super().__init__(message)
        self.scope = scope


class BudgetSpent(ServiceError):
    """Carries how the key stands."""

    def __init__(self, message: str, standing: Standing | None = None) -> None:
        super().__init__(message)
        self.standing = standing or Standing(wait_s=1)


class JobFileMissing(ServiceError):
    pass


class OriginalMissing(ServiceError):
    pass


class OriginalsUnavailable(ServiceError):
    pass


class RequestError(ServiceError):
    """Carries every fault that was found, so that a sender can mend them all at once."""

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)


class EmptyBody(RequestError):
    pass


class BadJson(RequestError):
    pass


class BadMultipart(RequestError):
    pass


class UnsupportedContentType(RequestError):
    pass


class BodyTooLarge(RequestError):
    pass


class BodyTimeout(RequestError):
    pass


class InvalidParameter(RequestError):
    pass


class UnknownParameter(RequestError):
    pass


class InvalidField(RequestError):
    pass


class SourceRefused(RequestError):
    pass


class InvalidEmbedding(RequestError):
    pass


class InvalidHash(RequestError):
    pass


class UnknownHost(RequestError):
    pass
