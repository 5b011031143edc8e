"""Whether a service may listen where it is told to: before it does, in the process that listens."""

import contextlib

from service.errors import RefusedToStart
from service.settings import Settings


def refuse_open_doors(settings: Settings) -> None:
    """
    Raises:
        RefusedToStart: the address can be reached from elsewhere, and nothing says who may ask.
    """
    if not settings.loopback and not settings.trust_network and not _has_keys(settings):
        raise RefusedToStart(
            f"{settings.host} can be reached from other machines, and there is no key yet. Make one with: afterimage "
            "keys create NAME --role center. Or listen on 127.0.0.1, or set AFTERIMAGE_TRUST_NETWORK=true when a "
            "reverse proxy in front decides who may ask."
        )


def _has_keys(settings: Settings) -> bool:
    """Looked up where the listening process needs the catalog for nothing else: opened, asked and closed again."""
    from index.catalog import Catalog  # noqa: PLC0415 - only here, and before any worker is forked

    if not settings.has_catalog:
        return False
    with contextlib.closing(Catalog.open(settings.catalog_url)) as catalog:
        return catalog.keys.version() > 0
