"""Warm workers: processes that have loaded the definitions, and the run launcher that hands runs to them."""

__all__ = []
