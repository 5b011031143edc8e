"""
What each operation needs of who asks: one table for all of them.

An operation that is not in the table needs `admin`, so that a door that was forgotten is shut.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from index.records.keys import Scope


@dataclass(frozen=True, slots=True)
class Access:
    """What an operation needs; no scope is for everyone, without a key."""

    scope: Scope | None
    besides: Mapping[tuple[str, str], Scope] = field(default_factory=dict)
    """By a query parameter and its value: what asking for that needs besides."""
    asks: bool = False
    """Whether it is a query: counted against the day's."""
    instead: Scope | None = None
    """A scope that does as well; what is answered to it is less, which is the operation's to see to."""


_MATCH: Final = Access(
    Scope.MATCH,
    {
        ("record", "true"): Scope.RECORD,
        # What is nearest whatever its score, and what it looks like, would map a bank for whoever probes it.
        ("min_band", "none"): Scope.READ,
        ("explain", "true"): Scope.READ,
    },
    asks=True,
)
_EVERYONE: Final = Access(None)
_READ: Final = Access(Scope.READ)
_CURATE: Final = Access(Scope.CURATE)
_AUDIT: Final = Access(Scope.AUDIT)
_ADMIN: Final = Access(Scope.ADMIN)
_INCIDENT: Final = Access(Scope.INCIDENT)

ACCESS: Final[Mapping[str, Access]] = {
    "match": _MATCH,
    "matchEmbeddings": _MATCH,
    "matchBatch": _MATCH,
    "listSightings": _READ,
    "getSighting": _READ,
    "listBanks": _READ,
    "getBank": _READ,
    "putBank": _CURATE,
    "deleteBank": _CURATE,
    "listItems": _READ,
    "getItem": _READ,
    "addItem": _CURATE,
    "changeItem": _CURATE,
    "deleteItem": _CURATE,
    "listJobs": _READ,
    "getJob": _READ,
    "createJob": _ADMIN,
    "cancelJob": _ADMIN,
    "retryJob": _ADMIN,
    "getJobFile": _ADMIN,
    "listSpaces": _READ,
    "getSpace": _READ,
    "promoteSpace": _ADMIN,
    "rollbackSpace": _ADMIN,
    "dropSpace": _ADMIN,
    "compareSpace": Access(Scope.READ, asks=True),
    "listKeys": _ADMIN,
    "createKey": _ADMIN,
    "rotateKey": _ADMIN,
    "revokeKey": _ADMIN,
    "listAudit": _AUDIT,
    "auditHead": _AUDIT,
    # Whoever has uploads remembered must hear when one of them turns out to match.
    "streamEvents": Access(Scope.READ, instead=Scope.RECORD),
    "listIncidentTypes": _READ,
    "listIncidents": _READ,
    "getIncident": _READ,
    "incidentTimeline": _READ,
    "listVariants": _READ,
    "bankVariant": _CURATE,
    "listClusters": _READ,
    "getCluster": _READ,
    "bankCluster": _CURATE,
    "incidentReport": _READ,
    "bankFigures": _READ,
    # Whoever asks about uploads is the one who hears that an answer was wrong.
    "giveFeedback": Access(Scope.MATCH, instead=Scope.CURATE),
    "listFeedback": _READ,
    "createIncident": _INCIDENT,
    "changeIncident": _INCIDENT,
    # Who confirms need not lead: the operation asks for the one or the other, by what it is asked to do.
    "advanceIncident": Access(Scope.INCIDENT, instead=Scope.CONFIRM),
    "metrics": _READ,
    "health": _EVERYONE,
    "ready": _EVERYONE,
    "openapi": _EVERYONE,
    "docs": _EVERYONE,
    "docs_file": _EVERYONE,
    "problems": _EVERYONE,
    "problem": _EVERYONE,
}


def access_of(operation: str) -> Access:
    return ACCESS.get(operation, _ADMIN)
