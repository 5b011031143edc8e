"""Incidents: opening them, changing them, and taking them from one state to the next."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from index.audit import AuditAction
from index.catalog import audit, events, log
from index.catalog.incident_tables import incident_confirmations, incident_transitions, incidents
from index.catalog.incidents import members as incident_members
from index.catalog.incidents import reading as incident_reading
from index.catalog.storage.cursors import cursor_for, number_position
from index.catalog.storage.database import Database
from index.catalog.tables import ChangeKind
from index.errors import (
    CriteriaUnmet,
    IncidentChanged,
    IncidentClosed,
    OrganisationNeeded,
    SameOrganisation,
    TransitionRefused,
)
from index.identifiers import new_incident_id
from index.records.events import EventKind
from index.records.incidents import (
    CONFIRMATIONS_NEEDED,
    NEXT_STATES,
    Advance,
    Incident,
    IncidentChange,
    IncidentState,
    NewIncident,
)
from index.records.pages import Page

Clock = Callable[[], datetime]
_LIST: Final = "incidents"


class IncidentTable:
    """
    Every change is one transaction with its entry in the change log, which carries the new rules to every process at
    once, its entry in the audit log, and its event. Safe from any thread.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create(self, new: NewIncident) -> Incident:
        """
        Opens an incident, in the state `awareness`.

        Raises:
            UnknownBank: there is none of that name.
            BankOfAnotherIncident: one of the banks belongs to another incident.
        """
        return self._database.write(lambda connection: _create(connection, new, self._clock()))

    def get(self, incident_id: str) -> Incident:
        """
        Raises:
            UnknownIncident: there is none of that id.
        """
        with self._database.reading() as connection:
            return incident_reading.get(connection, incident_id)

    def page(
        self, limit: int, cursor: str | None = None, *, states: frozenset[str] = frozenset(), seen_by: str | None = None
    ) -> Page[Incident]:
        """
        Newest first.

        Args:
            limit: the most.
            cursor: where to go on.
            states: only those; none is all.
            seen_by: only those that this platform takes part in; None is all.

        Raises:
            BadCursor: the cursor is not one of this list.
        """
        query = select(incidents).order_by(incidents.c.incident_key.desc()).limit(limit + 1)
        if cursor is not None:
            query = query.where(incidents.c.incident_key < number_position(cursor, _LIST))
        if states:
            query = query.where(incidents.c.state.in_(sorted(states)))
        if seen_by is not None:
            query = query.where(incident_members.is_seen_by(seen_by))
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
            found = tuple(incident_reading.incident(connection, row) for row in rows[:limit])
        return Page(found, cursor_for(_LIST, found[-1].key) if len(rows) > limit else None)

    def banks_hidden_from(self, platform: str) -> frozenset[str]:
        """The names of banks of incidents that this platform takes no part in."""
        with self._database.reading() as connection:
            return incident_members.hidden_from(connection, platform)

    def change(self, incident_id: str, change: IncidentChange, revision: int) -> Incident:
        """
        Changes what is given, if nobody else has changed it since that revision. While it is being assessed, a change
        takes back the confirmations so far: what is confirmed is what it says.

        Raises:
            UnknownIncident, UnknownBank: there is none.
            IncidentChanged: it has another revision by now.
            IncidentClosed: it has ended; all that can be changed then is which banks it has.
            BankOfAnotherIncident: one of the banks belongs to another incident.
        """
        return self._database.write(
            lambda connection: _change(connection, incident_id, change, revision, self._clock())
        )

    def advance(self, incident_id: str, wish: Advance) -> Incident:
        """
        Takes an incident to another state. To `confirmed` it takes two organisations: what the first says is noted,
        and the state stays as it is.

        Raises:
            UnknownIncident: there is none of that id.
            IncidentChanged: it has another revision than the one that was seen.
            TransitionRefused: from where it is, that cannot be reached.
            OrganisationNeeded: nobody said on whose behalf it is confirmed.
            SameOrganisation: that organisation has confirmed it already.
            CriteriaUnmet: not everything that it takes is met.
        """
        return self._database.write(lambda connection: _advance(connection, incident_id, wish, self._clock()))


def _create(connection: Connection, new: NewIncident, at: datetime) -> Incident:
    (key,) = log.reserve(connection, 1)
    incident_id = new_incident_id(key)
    connection.execute(
        insert(incidents).values(
            incident_key=key,
            incident_id=incident_id,
            name=new.name,
            type=new.type,
            state=IncidentState.AWARENESS.value,
            criteria=[asdict(criterion) for criterion in new.criteria],
            protocol=asdict(new.protocol),
            settings=asdict(new.thresholds),
            shadow=new.shadow,
            revision=1,
            created_by=new.opened_by,
            created_at=at,
            updated_at=at,
        )
    )
    incident_members.put_banks(connection, key, new.banks)
    incident_members.put_participants(connection, key, new.participants, at)
    log.append(connection, [log.entry(key, ChangeKind.INCIDENT, 0, key, at)])
    made = incident_reading.get(connection, incident_id)
    audit.append(connection, at, AuditAction.INCIDENT_CREATED, f"incidents/{incident_id}", incident_reading.facts(made))
    _tell(connection, made, at, None, new.opened_by)
    return made


def _change(connection: Connection, incident_id: str, change: IncidentChange, revision: int, at: datetime) -> Incident:
    before = incident_reading.get(connection, incident_id)
    _refuse_other_revision(before, revision)
    if not before.state.open and not change.releases_only:
        raise IncidentClosed("The incident has ended: all that can be changed is which banks it has.")
    values: dict[str, Any] = {}
    if change.name is not None:
        values["name"] = change.name
    if change.criteria is not None:
        values["criteria"] = [asdict(criterion) for criterion in change.criteria]
    if change.protocol is not None:
        values["protocol"] = asdict(change.protocol)
    if change.thresholds is not None:
        values["settings"] = asdict(change.thresholds)
    if change.shadow is not None:
        values["shadow"] = change.shadow
    if change.banks is not None:
        incident_members.put_banks(connection, before.key, change.banks)
    if change.participants is not None:
        incident_members.put_participants(connection, before.key, change.participants, at)
    if before.confirmations and before.state.unconfirmed:
        own = incident_confirmations.c.incident_key == before.key
        connection.execute(delete(incident_confirmations).where(own))
    after = _renew(connection, before, values, at)
    old, new = incident_reading.facts(before), incident_reading.facts(after)
    differ = sorted(name for name in old if old[name] != new[name])
    details = {"before": {name: old[name] for name in differ}, "after": {name: new[name] for name in differ}}
    audit.append(connection, at, AuditAction.INCIDENT_CHANGED, f"incidents/{incident_id}", details)
    return after


def _advance(connection: Connection, incident_id: str, wish: Advance, at: datetime) -> Incident:
    before = incident_reading.get(connection, incident_id)
    if wish.revision is not None:
        _refuse_other_revision(before, wish.revision)
    if wish.to not in NEXT_STATES[before.state]:
        possible = ", ".join(sorted(NEXT_STATES[before.state])) or "none"
        raise TransitionRefused(f"The incident is in the state {before.state}; the next can be: {possible}.")
    if wish.to is IncidentState.CONFIRMED and not _confirm(connection, before, wish, at):
        noted = _renew(connection, before, {}, at)
        details = {"participant": wish.participant, "reason": wish.reason}
        audit.append(connection, at, AuditAction.INCIDENT_CONFIRMATION, f"incidents/{incident_id}", details)
        _tell(connection, noted, at, before.state, wish.participant)
        return noted
    number = len(before.transitions) + 1
    connection.execute(
        insert(incident_transitions).values(
            incident_key=before.key,
            number=number,
            from_state=before.state.value,
            to_state=wish.to.value,
            participant=wish.participant,
            key_id=wish.key_id,
            reason=wish.reason,
            at=at,
        )
    )
    values: dict[str, Any] = {"state": wish.to.value}
    if wish.to is IncidentState.CONFIRMED:
        values["confirmed_at"] = at
    if wish.to is IncidentState.CONCLUDED:
        values["concluded_at"] = at
    after = _renew(connection, before, values, at)
    details = {"from": before.state.value, "to": wish.to.value, "reason": wish.reason, "participant": wish.participant}
    audit.append(connection, at, AuditAction.INCIDENT_ADVANCED, f"incidents/{incident_id}", details)
    _tell(connection, after, at, before.state, wish.participant)
    return after


def _confirm(connection: Connection, incident: Incident, wish: Advance, at: datetime) -> bool:
    """Notes that an organisation confirms it; whether enough have."""
    if wish.participant is None:
        raise OrganisationNeeded("Say on behalf of which organisation it is confirmed.")
    if any(each.participant.casefold() == wish.participant.casefold() for each in incident.confirmations):
        raise SameOrganisation("This organisation has confirmed it already; another one must.")
    unmet = [criterion.name for criterion in incident.criteria if criterion.required and not criterion.met]
    if unmet:
        raise CriteriaUnmet(f"It takes these criteria as well, and nobody says they are met: {', '.join(unmet)}.")
    values = {"participant": wish.participant, "reason": wish.reason, "at": at}
    connection.execute(insert(incident_confirmations).values(incident_key=incident.key, **values))
    return len(incident.confirmations) + 1 >= CONFIRMATIONS_NEEDED


def _renew(connection: Connection, before: Incident, values: dict[str, Any], at: datetime) -> Incident:
    """Writes what changed; every process hears of all of it at once."""
    own = incidents.c.incident_key == before.key
    connection.execute(update(incidents).where(own).values(updated_at=at, revision=before.revision + 1, **values))
    log.record(connection, ChangeKind.INCIDENT, bank_key=0, item_key=before.key, at=at)
    return incident_reading.get(connection, before.incident_id)


def _refuse_other_revision(incident: Incident, revision: int) -> None:
    if incident.revision != revision:
        raise IncidentChanged("Somebody has changed the incident since; look at it again.")


def _tell(
    connection: Connection, incident: Incident, at: datetime, before: IncidentState | None, participant: str | None
) -> None:
    data = {
        "from": None if before is None else before.value,
        "to": incident.state.value,
        "participant": participant,
        "name": incident.name,
        "type": incident.type,
        "confirmations": len(incident.confirmations),
        "tell": list(incident.protocol.tell),
    }
    kind = EventKind.INCIDENT_TRANSITION
    events.append(connection, at, kind, incident_key=incident.key, platform=None, data=data)
