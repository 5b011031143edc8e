"""Incidents as they are read."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, select

from index.catalog.incident_tables import (
    incident_banks,
    incident_confirmations,
    incident_participants,
    incident_transitions,
    incidents,
)
from index.catalog.incidents.rules import protocol_of
from index.catalog.tables import banks
from index.errors import UnknownIncident
from index.records.incidents import (
    Confirmation,
    Criterion,
    Incident,
    IncidentId,
    IncidentState,
    IncidentThresholds,
    Transition,
)


def get(connection: Connection, incident_id: str) -> Incident:
    return incident(connection, row(connection, incident_id))


def row(connection: Connection, incident_id: str) -> Row[Any]:
    """
    Raises:
        UnknownIncident: there is none of that id.
    """
    found = connection.execute(select(incidents).where(incidents.c.incident_id == incident_id)).one_or_none()
    if found is None:
        raise UnknownIncident("There is no incident of that id.")
    return found


def incident(connection: Connection, row: Row[Any]) -> Incident:
    """With everything that hangs on it."""
    key = row.incident_key
    names = (
        select(banks.c.name)
        .join(incident_banks, incident_banks.c.bank_key == banks.c.bank_key)
        .where(incident_banks.c.incident_key == key, banks.c.removed_at.is_(None))
        .order_by(banks.c.name)
    )
    taking_part = (
        select(incident_participants.c.participant)
        .where(incident_participants.c.incident_key == key)
        .order_by(incident_participants.c.participant)
    )
    return Incident(
        incident_id=IncidentId(row.incident_id),
        key=key,
        name=row.name,
        type=row.type,
        state=IncidentState(row.state),
        criteria=tuple(Criterion(**each) for each in row.criteria),
        banks=tuple(connection.execute(names).scalars()),
        participants=tuple(connection.execute(taking_part).scalars()),
        thresholds=IncidentThresholds(**row.settings),
        protocol=protocol_of(row.protocol),
        shadow=row.shadow,
        revision=row.revision,
        opened_by=row.created_by,
        transitions=_transitions(connection, key),
        confirmations=_confirmations(connection, key),
        created_at=row.created_at,
        updated_at=row.updated_at,
        confirmed_at=row.confirmed_at,
        concluded_at=row.concluded_at,
        first_match_at=row.first_match_at,
    )


def facts(incident: Incident) -> dict[str, Any]:
    """What the audit log keeps of it: all that people decide."""
    return {
        "name": incident.name,
        "type": incident.type,
        "criteria": [asdict(criterion) for criterion in incident.criteria],
        "banks": list(incident.banks),
        "participants": list(incident.participants),
        "thresholds": asdict(incident.thresholds),
        "protocol": {**asdict(incident.protocol), "tell": list(incident.protocol.tell)},
        "shadow": incident.shadow,
        "confirmations": [each.participant for each in incident.confirmations],
    }


def _transitions(connection: Connection, key: int) -> tuple[Transition, ...]:
    query = select(incident_transitions).where(incident_transitions.c.incident_key == key)
    return tuple(
        Transition(
            IncidentState(row.from_state), IncidentState(row.to_state), row.participant, row.key_id, row.reason, row.at
        )
        for row in connection.execute(query.order_by(incident_transitions.c.number))
    )


def _confirmations(connection: Connection, key: int) -> tuple[Confirmation, ...]:
    query = select(incident_confirmations).where(incident_confirmations.c.incident_key == key)
    return tuple(
        Confirmation(row.participant, row.reason, row.at)
        for row in connection.execute(query.order_by(incident_confirmations.c.at, incident_confirmations.c.participant))
    )
