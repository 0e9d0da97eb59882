"""The REST facade behind one Lambda function. Modules here import late what a request may not need."""

__all__ = []
