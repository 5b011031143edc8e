"""
What can go wrong between a request and the catalog.

IndexingError
├── NotFound
│   ├── UnknownBank
│   └── UnknownItem
├── Conflict
│   ├── BankPurposeConflict    a bank keeps the purpose it was made with
│   ├── IdempotencyConflict    the same Idempotency-Key with another request
│   └── SpaceMismatch          embeddings of a space that is not served here
├── BadCursor                  a list cursor that we did not issue
├── BadEmbedding               wrong shape, not finite, or not of norm 1
├── IndexBehind                the view did not reach the version in time
├── CatalogUnavailable         the database cannot be reached or written
│   └── StorageFull            there is no room to write
├── CatalogTooNew              written by a newer release: upgrade
└── DataDirectoryInUse         another service owns this data directory
"""


class IndexingError(Exception):
    """Anything this package raises on purpose."""


class NotFound(IndexingError):
    pass


class UnknownBank(NotFound):
    pass


class UnknownItem(NotFound):
    pass


class Conflict(IndexingError):
    pass


class BankPurposeConflict(Conflict):
    pass


class IdempotencyConflict(Conflict):
    pass


class SpaceMismatch(Conflict):
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


class CatalogTooNew(IndexingError):
    pass


class DataDirectoryInUse(IndexingError):
    pass
