"""`/v1/keys`: who may ask."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from flask import Blueprint
from flask.typing import ResponseReturnValue

from index.catalog.keys import KeyTable
from index.errors import UnknownKey
from index.records.keys import KeyId
from service.inputs import ListParameters
from service.keys.keyring import make_key
from service.keys.shapes import KEY_ID, IssuedKey, KeyBody, KeyResource, RotationBody, issued_key, key_resource
from service.openapi import Description, Operation, Reply
from service.routes import described
from service.routes.bodies import JSON, BodyLimits, read_json_body
from service.routes.operations import Operations, answer, no_parameters, parameters
from service.schemas import ListOf

_TAG = "Keys"
_KEY_PATH: Final = {"key_id": {"type": "string", "pattern": KEY_ID}}
_STORED: Final = ("catalog-unavailable", "storage-full")

_LIST = Operation(
    method="get",
    path="/v1/keys",
    name="listKeys",
    tag=_TAG,
    summary="Every key there ever was, oldest first",
    parameters=ListParameters,
    replies={200: Reply("A piece of the list.", ListOf[KeyResource])},
    problems=(*described.QUERY_PROBLEMS, "bad-cursor", "catalog-unavailable"),
)
_CREATE = Operation(
    method="post",
    path="/v1/keys",
    name="createKey",
    tag=_TAG,
    summary="Make a key",
    description="The first key shuts the door: from the next request on, every one needs a key.",
    bodies={JSON: KeyBody},
    replies={201: Reply("The key, shown this once.", IssuedKey)},
    problems=(*described.JSON_PROBLEMS, *described.QUERY_PROBLEMS, "role-conflict", *_STORED),
)
_ROTATE = Operation(
    method="post",
    path="/v1/keys/{key_id}/rotation",
    name="rotateKey",
    tag=_TAG,
    summary="Make another key with the same rights in place of one, which ends after a while",
    path_schemas=_KEY_PATH,
    bodies={JSON: RotationBody},
    replies={201: Reply("The new key, shown this once.", IssuedKey)},
    problems=(*described.JSON_PROBLEMS, *described.QUERY_PROBLEMS, "unknown-key", "key-unusable", *_STORED),
)
_REVOKE = Operation(
    method="delete",
    path="/v1/keys/{key_id}",
    name="revokeKey",
    tag=_TAG,
    summary="End a key at once and for good",
    path_schemas=_KEY_PATH,
    replies={200: Reply("It has ended.", KeyResource)},
    problems=(*described.QUERY_PROBLEMS, "unknown-key", *_STORED),
)


def keys_blueprint(keys: KeyTable, limits: BodyLimits, description: Description) -> Blueprint:
    routes = Blueprint("keys", __name__)
    operations = Operations(routes, description)

    @operations.on(_LIST)
    def list_keys() -> ResponseReturnValue:
        query = parameters(ListParameters)
        page = keys.page(query.limit, query.cursor)
        return answer(ListOf[KeyResource](items=[key_resource(key) for key in page.items], next=page.next))

    @operations.on(_CREATE)
    def create_key() -> ResponseReturnValue:
        no_parameters()
        wanted = read_json_body(KeyBody, limits).wanted
        text, secret = make_key()
        return answer(issued_key(keys.create(wanted, secret), text), 201)

    @operations.on(_ROTATE)
    def rotate_key(key_id: str) -> ResponseReturnValue:
        no_parameters()
        grace = timedelta(seconds=read_json_body(RotationBody, limits).grace_s)
        text, secret = make_key()
        key = keys.rotate(_existing(key_id), secret, datetime.now(UTC) + grace)
        return answer(issued_key(key, text), 201)

    @operations.on(_REVOKE)
    def revoke_key(key_id: str) -> ResponseReturnValue:
        no_parameters()
        return answer(key_resource(keys.revoke(_existing(key_id))))

    return routes


def _existing(key_id: str) -> KeyId:
    """A name that a key can have; another is none's."""
    if not re.fullmatch(KEY_ID, key_id, re.ASCII):
        raise UnknownKey("There is no key of that name.")
    return KeyId(key_id)
