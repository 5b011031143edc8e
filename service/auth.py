"""Who is asking: the door of the Flask application, and what its routes want to know of the caller."""

import ipaddress
import re
from collections.abc import Callable
from contextlib import ExitStack

import structlog
from flask import Flask, Response, g, request

from index.audit import Actor, acting
from index.records.keys import Key, Role, Scope
from service.errors import ScopeMissing, UnknownHost
from service.inputs import MatchParameters
from service.keys.access import Access, access_of
from service.keys.budgets import Standing, fields_of
from service.keys.doorkeeper import Caller, Doorkeeper
from service.keys.viewer import Viewer
from service.sightings.recording import UNNAMED, Recording

_EVERYONE = Access(None)


def protect(app: Flask, doorkeeper: Doorkeeper, *, trust_network: bool) -> None:
    """
    Lets in whoever may ask.

    Where no key is needed, web pages are kept away all the same: a page in a browser on this machine could ask too,
    so pages of other sites are refused, and so are names that were made to point here. Where one is needed, a page
    has none to show.
    """

    @app.before_request
    def admit() -> None:
        g.doorkeeper, g.caller, g.standing, g.leaving = doorkeeper, Caller(), Standing(), ExitStack()
        access = _EVERYONE if request.endpoint is None else access_of(request.endpoint.rpartition(".")[2])
        if access.scope is not None:
            g.caller = doorkeeper.caller(request.headers.get("Authorization"))
            if g.caller.key is not None:
                structlog.contextvars.bind_contextvars(key_id=g.caller.key.key_id)
        if not trust_network and _strange() and not doorkeeper.asks_for_keys:
            raise UnknownHost("This service answers to its own machine alone.")
        if access.scope is not None:
            g.standing = doorkeeper.take(g.caller, queries=int(access.asks))
            doorkeeper.refuse_unscoped(g.caller, access, request.args)
            g.leaving.enter_context(doorkeeper.inside(g.caller))
        g.leaving.enter_context(acting(_actor(g.caller)))

    @app.after_request
    def tell(response: Response) -> Response:
        for name, value in fields_of(g.get("standing") or Standing()).items():
            response.headers.setdefault(name, value)
        return response

    @app.teardown_request
    def leave(_: BaseException | None) -> None:
        if "leaving" in g:
            g.leaving.close()


def caller_may(scope: Scope) -> bool:
    """Whether the key of this request allows it; always, where none is needed."""
    caller: Caller = g.caller
    return caller.may(scope)


def caller_is_admitted() -> Callable[[], bool]:
    """
    Tells, later and in any thread, whether whoever makes this request would still be let in.

    It raises CatalogUnavailable when nobody can say.
    """
    doorkeeper: Doorkeeper = g.doorkeeper
    caller: Caller = g.caller
    access = access_of(str(request.endpoint).rpartition(".")[2])
    return lambda: doorkeeper.admits(caller, access)


def key_of_caller() -> Key | None:
    """The key that was shown; None where none is needed."""
    caller: Caller = g.caller
    return caller.key


def require(scope: Scope) -> None:
    """
    What is asked for needs this scope, besides what its address needs.

    Raises:
        ScopeMissing: the key does not allow it.
    """
    if not caller_may(scope):
        raise ScopeMissing(f"This key does not allow this: it needs the scope `{scope}`.", scope)


def viewer() -> Viewer:
    """Whose eyes the answer to this request is for."""
    caller: Caller = g.caller
    if caller.key is None or caller.key.role is not Role.PLATFORM:
        return Viewer()
    return Viewer(caller.key.participant)


def organisation(named: str | None) -> str | None:
    """
    On whose behalf this request acts: the key's participant. Where no key is needed, whoever the request names; so
    one person can rehearse what takes two organisations.

    Raises:
        ScopeMissing: it names another one than the key's.
    """
    caller: Caller = g.caller
    if caller.key is None:
        return named
    if named not in {None, caller.key.participant}:
        raise ScopeMissing("A key speaks for its own participant alone.")
    return caller.key.participant


def organisation_of_upload(query: MatchParameters) -> str:
    """The platform that an upload is counted for: the key's participant; where no key is needed, the one it names."""
    caller: Caller = g.caller
    return (query.platform or "") if caller.key is None else caller.key.participant


def recording_of(query: MatchParameters) -> Recording | None:
    """
    What this request says of an upload that is to be recorded; None where it is not. A key records for its own
    participant alone, and against its own budget.

    Raises:
        ScopeMissing: it names another platform than the key's.
    """
    if not query.record:
        return None
    caller: Caller = g.caller
    doorkeeper: Doorkeeper = g.doorkeeper
    platform = query.platform or UNNAMED
    if caller.key is not None:
        if query.platform not in {None, caller.key.participant}:
            raise ScopeMissing("What a key records is of its own participant alone.")
        platform = caller.key.participant
    return Recording(
        platform=platform,
        upload_id=query.upload_id,
        observed_at=query.observed_at,
        publisher=query.publisher,
        context=query.context,
        may=lambda: doorkeeper.take_recording(caller),
    )


def take_queries(count: int) -> None:
    """
    Counts what is asked about in this request, once it is known; the first was counted at the door.

    Raises:
        BudgetSpent: so many are not left.
    """
    doorkeeper: Doorkeeper = g.doorkeeper
    if count > 1:
        g.standing = doorkeeper.take(g.caller, requests=0, queries=count - 1)


def _actor(caller: Caller) -> Actor:
    if caller.key is None:
        return Actor("http", request=g.request_id)
    return Actor("http", caller.key.participant, caller.key.key_id, g.request_id)


def _strange() -> bool:
    """Whether it may come from a page of another site."""
    return not _is_local(request.host) or request.headers.get("Sec-Fetch-Site") == "cross-site"


def _is_local(host: str) -> bool:
    name = re.sub(r":\d+$", "", host).strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
