"""Problems of incidents."""

from typing import Final

import index.errors as indexing
import service.errors as serving
from service.problem_types.kind import ProblemType

INCIDENTS: Final = (
    ProblemType(
        "unknown-incident",
        404,
        "There is no such incident",
        "GET /v1/incidents lists those that concern you.",
        (indexing.UnknownIncident,),
    ),
    ProblemType(
        "if-match-needed",
        428,
        "A change must say what it changes",
        "Send the ETag of the answer that it was decided on as `If-Match`.",
        (serving.MatchHeaderNeeded,),
    ),
    ProblemType(
        "incident-changed",
        412,
        "Somebody has changed the incident since",
        "Read it again, and decide again; nothing was changed.",
        (indexing.IncidentChanged,),
    ),
    ProblemType(
        "incident-closed",
        409,
        "The incident has ended",
        "It keeps its rules, for the record. Its banks can still be released; open another one for what is new.",
        (indexing.IncidentClosed,),
    ),
    ProblemType(
        "transition-refused",
        409,
        "The incident cannot go there from where it is",
        "`detail` names the states that can be next.",
        (indexing.TransitionRefused,),
    ),
    ProblemType(
        "organisation-needed",
        409,
        "Nobody said which organisation confirms it",
        "A key says it of itself. Where no key is needed, name a `participant` in the body.",
        (indexing.OrganisationNeeded,),
    ),
    ProblemType(
        "same-organisation",
        409,
        "This organisation has confirmed the incident already",
        "It takes two different ones.",
        (indexing.SameOrganisation,),
    ),
    ProblemType(
        "criteria-unmet",
        409,
        "Not everything that it takes is met",
        "`detail` names the criteria. PATCH /v1/incidents/{incident_id} says that one is met, and by what evidence.",
        (indexing.CriteriaUnmet,),
    ),
    ProblemType(
        "bank-of-another-incident",
        409,
        "A bank belongs to one incident at most",
        "Release it from the other incident first, or make another bank.",
        (indexing.BankOfAnotherIncident,),
    ),
)
