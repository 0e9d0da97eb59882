"""Pictures in metadata: Dagster shows those that Markdown holds as a whole."""

import base64

import dagster as dg


def image(kind: str, content: bytes) -> dg.MarkdownMetadataValue:
    """`kind` as in `image/<kind>`."""
    return dg.MetadataValue.md(f"![plot](data:image/{kind};base64,{base64.b64encode(content).decode()})")
