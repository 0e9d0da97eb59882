"""HTTP itself: reading requests, building replies and problem documents, and finding out who asks."""

__all__ = ["principal", "problems", "replies", "requests"]
