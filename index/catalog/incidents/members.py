"""The banks of an incident, and who takes part in it."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, exists, insert, not_, or_, select

from index.catalog.banks import rows as bank_rows
from index.catalog.incident_tables import incident_banks, incident_participants, incidents
from index.catalog.tables import banks
from index.errors import BankOfAnotherIncident


def put_banks(connection: Connection, incident_key: int, names: Sequence[str]) -> None:
    """
    Gives it these and no others.

    Raises:
        UnknownBank: there is none of that name.
        BankOfAnotherIncident: one belongs to another incident.
    """
    keys = {bank_rows.key_of(connection, name): name for name in names}
    own = incident_banks.c.incident_key == incident_key
    connection.execute(delete(incident_banks).where(own))
    taken = select(incident_banks.c.bank_key).where(incident_banks.c.bank_key.in_(keys))
    of_others = sorted(keys[key] for key in connection.execute(taken).scalars())
    if of_others:
        raise BankOfAnotherIncident(f"A bank belongs to one incident at most; of another are: {', '.join(of_others)}.")
    if keys:
        rows = [{"incident_key": incident_key, "bank_key": key} for key in keys]
        connection.execute(insert(incident_banks), rows)


def put_participants(connection: Connection, incident_key: int, names: Sequence[str], at: datetime) -> None:
    """These and no others take part; who did already keeps the time at which it joined."""
    own = incident_participants.c.incident_key == incident_key
    before = set(connection.execute(select(incident_participants.c.participant).where(own)).scalars())
    gone = before - set(names)
    if gone:
        connection.execute(
            delete(incident_participants).where(own, incident_participants.c.participant.in_(sorted(gone)))
        )
    new = sorted(set(names) - before)
    if new:
        rows = [{"incident_key": incident_key, "participant": name, "joined_at": at} for name in new]
        connection.execute(insert(incident_participants), rows)


def hidden_from(connection: Connection, platform: str) -> frozenset[str]:
    """The names of banks of incidents that a platform takes no part in."""
    query = (
        select(banks.c.name)
        .join(incident_banks, incident_banks.c.bank_key == banks.c.bank_key)
        .join(incidents, incidents.c.incident_key == incident_banks.c.incident_key)
        .where(not_(is_seen_by(platform)))
    )
    return frozenset(connection.execute(query).scalars())


def is_seen_by(platform: str) -> ColumnElement[bool]:
    """Of incidents: whether a platform takes part; where nobody is named, everyone does."""
    of_it = incident_participants.c.incident_key == incidents.c.incident_key
    return or_(
        exists().where(of_it, incident_participants.c.participant == platform),
        not_(exists().where(of_it)),
    )
