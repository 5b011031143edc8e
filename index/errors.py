"""
What can go wrong between a request and the catalog.

IndexingError
├── NotFound
│   ├── UnknownBank
│   ├── UnknownIncident
│   ├── UnknownItem
│   ├── UnknownJob
│   ├── UnknownKey
│   ├── UnknownCluster
│   ├── UnknownSighting
│   └── UnknownSpace
├── Conflict
│   ├── BankPurposeConflict    a bank keeps the purpose it was made with
│   ├── IdempotencyConflict    the same Idempotency-Key with another request
│   ├── SpaceMismatch          embeddings of a space that is not served here
│   ├── WrongStage             a space cannot go from where it is to where it is told
│   ├── ItemsLeftBehind        going to another space would lose items that only the old one finds
│   ├── RoleConflict           a participant keeps the role it was made with
│   ├── KeyUnusable            a key that has ended cannot be replaced by another
│   ├── SpaceNotOpen           a process that answers does not have the space open
│   ├── JobStateConflict       a job cannot go from where it is to where it is told
│   ├── IncidentChanged        somebody has changed the incident since it was looked at
│   ├── IncidentClosed         an incident that has ended keeps its rules
│   ├── TransitionRefused      an incident cannot go from where it is to where it is told
│   ├── OrganisationNeeded     nobody said on whose behalf an incident is confirmed
│   ├── SameOrganisation       an organisation confirms an incident once
│   ├── CriteriaUnmet          an incident lacks what it takes to be confirmed
│   └── BankOfAnotherIncident  a bank belongs to one incident at most
├── LeaseLost                  a part of a job, or the duties, are another worker's by now
├── NothingToBank              a sighting of which nothing is kept that finds it
├── OriginalBeingRemoved       the original of these bytes is being deleted at this moment
├── BadCursor                  a list cursor that we did not issue
├── BadEmbedding               wrong shape, not finite, or not of norm 1
├── IndexBehind                the view did not reach the version in time
├── CatalogUnavailable         the database cannot be reached or written
│   └── StorageFull            there is no room to write
├── IndexBusy                  another process of this data directory builds an index
├── UnusableIndex              the files of an index are missing, damaged or not what they are said to be
├── BackupRefused              no sound backup, or there is something in its way
├── CatalogTooNew              written by a newer release: upgrade
└── DataDirectoryInUse         another service owns this data directory
"""


class IndexingError(Exception):
    """Anything this package raises on purpose."""


class NotFound(IndexingError):
    pass


class UnknownBank(NotFound):
    pass


class UnknownIncident(NotFound):
    pass


class UnknownItem(NotFound):
    pass


class UnknownKey(NotFound):
    pass


class UnknownSpace(NotFound):
    pass


class UnknownJob(NotFound):
    pass


class UnknownCluster(NotFound):
    pass


class UnknownSighting(NotFound):
    pass


class Conflict(IndexingError):
    pass


class BankPurposeConflict(Conflict):
    pass


class IdempotencyConflict(Conflict):
    pass


class SpaceMismatch(Conflict):
    pass


class RoleConflict(Conflict):
    pass


class KeyUnusable(Conflict):
    pass


class WrongStage(Conflict):
    pass


class ItemsLeftBehind(Conflict):
    """Carries how many."""

    def __init__(self, message: str, items: int = 0) -> None:
        super().__init__(message)
        self.items = items


class SpaceNotOpen(Conflict):
    pass


class JobStateConflict(Conflict):
    pass


class IncidentChanged(Conflict):
    pass


class IncidentClosed(Conflict):
    pass


class TransitionRefused(Conflict):
    pass


class OrganisationNeeded(Conflict):
    pass


class SameOrganisation(Conflict):
    pass


class CriteriaUnmet(Conflict):
    pass


class BankOfAnotherIncident(Conflict):
    pass


class LeaseLost(IndexingError):
    pass


class NothingToBank(IndexingError):
    pass


class OriginalBeingRemoved(IndexingError):
    pass


class BadCursor(IndexingError):
    pass


class BadEmbedding(IndexingError):
    pass


class IndexBehind(IndexingError):
    pass


class CatalogUnavailable(IndexingError):
    pass


class StorageFull(CatalogUnavailable):
    pass


class BackupRefused(IndexingError):
    pass


class CatalogTooNew(IndexingError):
    pass


class IndexBusy(IndexingError):
    pass


class UnusableIndex(IndexingError):
    pass


class DataDirectoryInUse(IndexingError):
    pass
