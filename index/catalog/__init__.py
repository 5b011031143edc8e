"""The durable truth: banks, items, frames, embeddings, incidents, and the log of their changes."""

from index.catalog import incident_tables as incident_tables
from index.catalog.catalog import Catalog

__all__ = ["Catalog"]
