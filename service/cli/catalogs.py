"""Opens the catalog alone, also beside a running service: what keys and the audit log need."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from service.errors import ServiceError

if TYPE_CHECKING:
    from index.catalog import Catalog


class NothingThere(ServiceError):
    """There is no catalog where one was named."""


@contextmanager
def open_catalog(data_dir: Path | None, *, make: bool = False) -> "Iterator[Catalog]":
    """
    The catalog of a data directory, or of AFTERIMAGE_CATALOG.

    Args:
        data_dir: None is the environment's.
        make: whether one is made where there is none.

    Raises:
        NothingThere: there is none, and none is made.
    """
    from index.catalog import Catalog
    from service.settings import load_settings

    settings = load_settings(data_dir=data_dir, log_level="error")
    if not make and not settings.has_catalog:
        raise NothingThere(f"There is no catalog in {settings.data_dir}. Is it the right data directory?")
    with closing(Catalog.open(settings.catalog_url)) as catalog:
        yield catalog
