"""Who is asking: the door of the Flask application, and what its routes want to know of the caller."""

import ipaddress
import re
from contextlib import ExitStack

import structlog
from flask import Flask, Response, g, request

from index.audit import Actor, acting
from index.keys import Scope
from service.access import Access, access_of
from service.budgets import Standing, fields_of
from service.doorkeeper import Caller, Doorkeeper
from service.errors import UnknownHost

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
