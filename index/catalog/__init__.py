"""The durable truth: banks, items, frames, embeddings and the log of their changes."""

from index.catalog.catalog import Catalog

__all__ = ["Catalog"]
