"""What matching must know of each bank's incident."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from index.catalog.incident_tables import incident_banks, incident_participants, incidents
from index.records.banks import BankSettings
from index.records.incidents import (
    IncidentId,
    IncidentProtocol,
    IncidentRule,
    IncidentState,
    IncidentThresholds,
)


def by_bank(connection: Connection) -> dict[int, IncidentRule]:
    """By the key of each bank that has one."""
    columns: tuple[ColumnElement[Any], ...] = (
        incident_banks.c.bank_key,
        incidents.c.incident_key,
        incidents.c.incident_id,
        incidents.c.name,
        incidents.c.state,
        incidents.c.protocol,
        incidents.c.settings,
        incidents.c.shadow,
    )
    joined = incident_banks.join(incidents, incidents.c.incident_key == incident_banks.c.incident_key)
    rows = connection.execute(select(*columns).select_from(joined)).all()
    if not rows:
        return {}
    taking_part = _participants(connection)
    known = {row.incident_key: _rule(row, taking_part[row.incident_key]) for row in rows}
    return {row.bank_key: known[row.incident_key] for row in rows}


def applied(settings: BankSettings, incident: IncidentRule | None) -> BankSettings:
    """A bank's settings with its incident's thresholds over them, unless that came to nothing."""
    if incident is None or incident.state.ended_early:
        return settings
    own = incident.thresholds
    return replace(
        settings,
        variant_score=settings.variant_score if own.variant_score is None else own.variant_score,
        related_score=settings.related_score if own.related_score is None else own.related_score,
    )


def protocol_of(stored: Mapping[str, Any]) -> IncidentProtocol:
    return IncidentProtocol(**{**stored, "tell": tuple(stored["tell"])})


def _participants(connection: Connection) -> dict[int, set[str]]:
    found: dict[int, set[str]] = defaultdict(set)
    for row in connection.execute(select(incident_participants)):
        found[row.incident_key].add(row.participant)
    return found


def _rule(row: Row[Any], participants: set[str]) -> IncidentRule:
    return IncidentRule(
        incident_id=IncidentId(row.incident_id),
        key=row.incident_key,
        name=row.name,
        state=IncidentState(row.state),
        thresholds=IncidentThresholds(**row.settings),
        protocol=protocol_of(row.protocol),
        shadow=row.shadow,
        participants=frozenset(participants),
    )
