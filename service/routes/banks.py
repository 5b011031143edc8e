"""`/v1/banks`: named sets of items with a purpose."""

from typing import Final

from flask import Blueprint
from flask.typing import ResponseReturnValue

from index.catalog import Catalog
from index.errors import UnknownBank
from index.records.banks import BankSettings
from index.views.views import Views
from service.auth import viewer
from service.errors import Fault, InvalidParameter
from service.inputs import BANK_NAME, BankBody, ListParameters, bank_name_fits
from service.openapi import Description, Operation, Reply
from service.routes import described
from service.routes.bodies import JSON, BodyLimits, read_json_body
from service.routes.operations import Operations, answer, no_parameters, parameters
from service.schemas import BankResource, ChangedBank, ListOf, Removed, bank_resource, changed_bank

BANK_PATH: Final = {"bank": {"type": "string", "pattern": BANK_NAME}}
_TAG = "Banks"

_LIST = Operation(
    method="get",
    path="/v1/banks",
    name="listBanks",
    tag=_TAG,
    summary="Every bank, by name",
    parameters=ListParameters,
    replies={200: Reply("A piece of the list.", ListOf[BankResource])},
    problems=(*described.QUERY_PROBLEMS, "bad-cursor", "catalog-unavailable"),
)
_PUT = Operation(
    method="put",
    path="/v1/banks/{bank}",
    name="putBank",
    tag=_TAG,
    summary="Make a bank, or give it new labels and settings",
    description="Labels and settings are replaced as a whole. A bank keeps the purpose it was made with.",
    path_schemas=BANK_PATH,
    bodies={JSON: BankBody},
    replies={200: Reply("It existed.", ChangedBank), 201: Reply("It is new.", ChangedBank)},
    problems=(
        *described.JSON_PROBLEMS,
        *described.QUERY_PROBLEMS,
        "unknown-bank",
        "bank-purpose-conflict",
        "catalog-unavailable",
        "storage-full",
    ),
)
_GET = Operation(
    method="get",
    path="/v1/banks/{bank}",
    name="getBank",
    tag=_TAG,
    summary="One bank",
    path_schemas=BANK_PATH,
    replies={200: Reply("The bank.", BankResource)},
    problems=(*described.QUERY_PROBLEMS, "unknown-bank", "catalog-unavailable"),
)
_DELETE = Operation(
    method="delete",
    path="/v1/banks/{bank}",
    name="deleteBank",
    tag=_TAG,
    summary="Remove a bank and every item in it",
    description="No answer given after this one contains an item of it.",
    path_schemas=BANK_PATH,
    replies={200: Reply("It is gone.", Removed)},
    problems=(*described.QUERY_PROBLEMS, "unknown-bank", "catalog-unavailable", "storage-full"),
)


def banks_blueprint(catalog: Catalog, views: Views, limits: BodyLimits, description: Description) -> Blueprint:
    routes = Blueprint("banks", __name__)
    operations = Operations(routes, description)

    @operations.on(_LIST)
    def list_banks() -> ResponseReturnValue:
        query = parameters(ListParameters)
        page = catalog.banks(query.limit, query.cursor)
        hidden = _hidden(catalog)
        seen = [bank_resource(bank) for bank in page.items if bank.name not in hidden]
        return answer(ListOf[BankResource](items=seen, next=page.next))

    @operations.on(_PUT)
    def put_bank(bank: str) -> ResponseReturnValue:
        no_parameters()
        if not bank_name_fits(bank):
            raise InvalidParameter(
                "A bank cannot have this name.", [Fault("/bank", f"does not match {BANK_NAME}", "path")]
            )
        body = read_json_body(BankBody, limits)
        seen_bank(catalog, bank)
        rules = BankSettings(
            variant_score=body.settings.variant_score,
            related_score=body.settings.related_score,
            block_on_semantic=body.settings.block_on_semantic,
            shadow=body.settings.shadow,
            tiles=body.settings.tiles,
        )
        put, created, version = catalog.put_bank(bank, body.purpose, body.labels, rules)
        views.follow()
        return answer(changed_bank(put, version), 201 if created else 200)

    @operations.on(_GET)
    def get_bank(bank: str) -> ResponseReturnValue:
        no_parameters()
        return answer(bank_resource(catalog.bank(seen_bank(catalog, bank))))

    @operations.on(_DELETE)
    def delete_bank(bank: str) -> ResponseReturnValue:
        no_parameters()
        version = catalog.delete_bank(seen_bank(catalog, bank))
        views.follow()
        return answer(Removed(index_version=version))

    return routes


def seen_bank(catalog: Catalog, bank: str) -> str:
    """
    The name of a bank that the caller may see, if there is one. Those of an incident are seen by who takes part in it.

    Raises:
        UnknownBank: no bank can have that name, or it is hidden from who asks.
    """
    if not bank_name_fits(bank) or bank in _hidden(catalog):
        raise UnknownBank("There is no bank of that name.")
    return bank


def _hidden(catalog: Catalog) -> frozenset[str]:
    platform = viewer().platform
    return frozenset() if platform is None else catalog.incidents.banks_hidden_from(platform)
