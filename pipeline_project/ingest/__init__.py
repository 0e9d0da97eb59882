"""Ingestion: from an object in the landing bucket to rows in the canonical tables.

A sub-package is one stage. Imports run downward: drafting, rejects and inspection, loading and discovery, mapping and ledger,
decoding.
"""

__all__ = ["decoding", "discovery", "drafting", "inspection", "ledger", "loading", "mapping", "rejects"]
