"""From what is asked for to what is kept of an incident."""

from dataclasses import replace

from index.records.incidents import Incident, IncidentChange, NewIncident
from service.incidents.shapes import IncidentBody, IncidentPatch
from service.incidents.types import IncidentTypes


def new_incident(body: IncidentBody, types: IncidentTypes, opened_by: str | None) -> NewIncident:
    """With every criterion of its type."""
    return NewIncident(
        name=body.name,
        type=body.type,
        criteria=types.completed(body.type, [criterion.criterion for criterion in body.criteria]),
        banks=body.banks,
        participants=body.participants,
        thresholds=body.thresholds.thresholds,
        protocol=body.protocol.protocol,
        shadow=body.shadow,
        opened_by=opened_by,
    )


def change_of(patch: IncidentPatch, before: Incident, types: IncidentTypes) -> IncidentChange:
    """Whatever is said about criteria, those of its type stay."""
    change = patch.change
    if change.criteria is None:
        return change
    return replace(change, criteria=types.completed(before.type, change.criteria))
