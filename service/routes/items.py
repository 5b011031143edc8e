"""`/v1/banks/{bank}/items`: what is banked."""

import re
from typing import Final

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from index.catalog import Catalog
from index.records.items import ItemId
from index.views.views import Views
from service.errors import Fault, InvalidParameter
from service.ingest import AddOptions, Banker
from service.inputs import AddParameters, ItemPatch, ListParameters, SignatureBody
from service.matching.queries import Signature
from service.openapi import Description, Header, Operation, Reply
from service.routes import described
from service.routes.banks import BANK_PATH, seen_bank
from service.routes.bodies import JSON, LABELS_FIELD, MEDIA_FIELD, is_json, read_json_body, read_upload
from service.routes.match import Doors
from service.routes.operations import Operations, answer, no_parameters, parameters
from service.schemas import Banked, ChangedItem, ItemResource, ListOf, Removed, banked, changed_item, item_resource

_TAG = "Items"
_KEY_PATTERN: Final = r"^[\x21-\x7e]{1,255}$"
_ITEM_PATH: Final = {**BANK_PATH, "item_id": {"type": "string", "pattern": "^[0-9a-f]{28}$"}}
_READ: Final = (*described.QUERY_PROBLEMS, "unknown-bank", "unknown-item", "catalog-unavailable")

_ADD = Operation(
    method="post",
    path="/v1/banks/{bank}/items",
    name="addItem",
    tag=_TAG,
    summary="Bank a picture, or the hashes and embeddings of one",
    description="Found by every match that begins after the answer. The same bytes again answer the same item.",
    parameters=AddParameters,
    path_schemas=BANK_PATH,
    headers=(
        Header(
            "Idempotency-Key",
            "The same key with the same request is answered once, for 24 hours.",
            {"type": "string", "pattern": _KEY_PATTERN},
        ),
    ),
    bodies={**described.ONE_LABELLED_FILE, JSON: SignatureBody},
    replies={200: Reply("The bank held these bytes already.", Banked), 201: Reply("It is banked.", Banked)},
    problems=(
        *described.MEDIA_PROBLEMS,
        "bad-json",
        "invalid-field",
        *described.SIGNATURE_PROBLEMS,
        "invalid-parameter",
        "unknown-parameter",
        "low-information",
        "idempotency-key-reused",
        "unknown-bank",
        "not-ready",
        "queue-full",
        "deadline-passed",
        "shutting-down",
        "catalog-unavailable",
        "storage-full",
    ),
)
_LIST = Operation(
    method="get",
    path="/v1/banks/{bank}/items",
    name="listItems",
    tag=_TAG,
    summary="The items of a bank, oldest first",
    parameters=ListParameters,
    path_schemas=BANK_PATH,
    replies={200: Reply("A piece of the list.", ListOf[ItemResource])},
    problems=(*described.QUERY_PROBLEMS, "unknown-bank", "bad-cursor", "catalog-unavailable"),
)
_GET = Operation(
    method="get",
    path="/v1/banks/{bank}/items/{item_id}",
    name="getItem",
    tag=_TAG,
    summary="One item",
    path_schemas=_ITEM_PATH,
    replies={200: Reply("The item.", ItemResource)},
    problems=_READ,
)
_PATCH = Operation(
    method="patch",
    path="/v1/banks/{bank}/items/{item_id}",
    name="changeItem",
    tag=_TAG,
    summary="Disable or enable an item, or give it new labels",
    description="A disabled item is in no answer given after this one.",
    path_schemas=_ITEM_PATH,
    bodies={JSON: ItemPatch},
    replies={200: Reply("As it is now.", ChangedItem)},
    problems=(*described.JSON_PROBLEMS, *_READ, "storage-full"),
)
_DELETE = Operation(
    method="delete",
    path="/v1/banks/{bank}/items/{item_id}",
    name="deleteItem",
    tag=_TAG,
    summary="Remove an item for good",
    description="It is in no answer given after this one.",
    path_schemas=_ITEM_PATH,
    replies={200: Reply("It is gone.", Removed)},
    problems=(*_READ, "storage-full"),
)


def items_blueprint(
    banker: Banker, catalog: Catalog, views: Views, doors: Doors, description: Description
) -> Blueprint:
    routes = Blueprint("items", __name__)
    operations = Operations(routes, description)

    @operations.on(_ADD)
    def add_item(bank: str) -> ResponseReturnValue:
        with doors.admission.place():
            force = parameters(AddParameters).force
            key = _idempotency_key()
            catalog.bank(seen_bank(catalog, bank))
            if is_json():
                body = read_json_body(SignatureBody, doors.limits)
                signature = Signature(body.embedder_id, body.embeddings, body.hashes)
                options = AddOptions(labels=body.labels, force=force, idempotency_key=key)
                added = banker.add_signature(bank, signature, options)
            else:
                upload = read_upload(doors.limits, fields=(MEDIA_FIELD, LABELS_FIELD))
                options = AddOptions(upload.labels, force, key, doors.deadline())
                added = banker.add(bank, upload.data, options)
            return answer(banked(added), 201 if added.created else 200)

    @operations.on(_LIST)
    def list_items(bank: str) -> ResponseReturnValue:
        query = parameters(ListParameters)
        page = catalog.items(seen_bank(catalog, bank), query.limit, query.cursor)
        return answer(ListOf[ItemResource](items=[item_resource(item) for item in page.items], next=page.next))

    @operations.on(_GET)
    def get_item(bank: str, item_id: str) -> ResponseReturnValue:
        no_parameters()
        return answer(item_resource(catalog.item(seen_bank(catalog, bank), ItemId(item_id))))

    @operations.on(_PATCH)
    def change_item(bank: str, item_id: str) -> ResponseReturnValue:
        no_parameters()
        body = read_json_body(ItemPatch, doors.limits)
        item, version = catalog.set_item(
            seen_bank(catalog, bank), ItemId(item_id), body.state, body.labels, body.quarantine
        )
        views.follow()
        return answer(changed_item(item, version))

    @operations.on(_DELETE)
    def delete_item(bank: str, item_id: str) -> ResponseReturnValue:
        no_parameters()
        version = catalog.delete_item(seen_bank(catalog, bank), ItemId(item_id))
        views.follow()
        return answer(Removed(index_version=version))

    return routes


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not re.fullmatch(_KEY_PATTERN, key):
        fault = Fault("/Idempotency-Key", "1 to 255 visible ASCII characters", "header")
        raise InvalidParameter("The Idempotency-Key cannot be used.", [fault])
    return key
