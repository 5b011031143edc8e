"""`/v1/audit`: who changed what, chained."""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from index.audit import Row, to_json
from index.catalog.audit import AuditLog, AuditQuery
from service.inputs import AuditParameters
from service.openapi import Description, Operation, Reply
from service.routes import described
from service.routes.operations import Operations, answer, no_parameters, parameters
from service.schemas import AuditEnd, AuditEntry, ListOf

_TAG = "Audit"

_LIST = Operation(
    method="get",
    path="/v1/audit",
    name="listAudit",
    tag=_TAG,
    summary="What was changed, by whom",
    description="Every change of banks, items, keys, spaces, jobs and incidents; feedback and quarantines. Each entry "
    "has a digest of the one before and of itself, so that nothing can be changed or left out unnoticed.",
    parameters=AuditParameters,
    replies={200: Reply("A piece of the log.", ListOf[AuditEntry])},
    problems=(*described.QUERY_PROBLEMS, "bad-cursor", "catalog-unavailable"),
)
_HEAD = Operation(
    method="get",
    path="/v1/audit/head",
    name="auditHead",
    tag=_TAG,
    summary="The last entry's number and digest",
    description="Noted elsewhere, it shows later that nothing up to it was rewritten or cut off.",
    replies={200: Reply("Where the log ends now.", AuditEnd)},
    problems=(*described.QUERY_PROBLEMS, "catalog-unavailable"),
)


def audit_blueprint(log: AuditLog, description: Description) -> Blueprint:
    routes = Blueprint("audit", __name__)
    operations = Operations(routes, description)

    @operations.on(_LIST)
    def list_audit() -> ResponseReturnValue:
        asked = parameters(AuditParameters)
        wanted = AuditQuery(
            participant=asked.participant,
            action=asked.action,
            subject=asked.subject,
            since=asked.since,
            until=asked.until,
            newest_first=asked.order == "newest",
        )
        page = log.page(wanted, asked.limit, asked.cursor)
        return answer(ListOf[AuditEntry](items=[_entry(row) for row in page.items], next=page.next))

    @operations.on(_HEAD)
    def audit_head() -> ResponseReturnValue:
        no_parameters()
        head = log.head()
        return answer(AuditEnd(seq=head.seq, digest=head.digest.hex()))

    return routes


def _entry(row: Row) -> AuditEntry:
    return AuditEntry(**to_json(row))
