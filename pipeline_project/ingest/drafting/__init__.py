"""Drafting: from samples of a source's files to a declaration of the source, with evidence and open questions."""

from pipeline_project.ingest.drafting.drafts import Draft, Question, draft

__all__ = ["Draft", "Question", "draft"]
