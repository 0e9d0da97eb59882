"""`pipeline events`: shows what subscribers of the topic would be sent, as it happens."""

import json
import time
from contextlib import closing, suppress

import typer

from pipeline_project import aws
from pipeline_project.notify.subscriber import subscribed
from pipeline_project.settings import Settings


def events() -> None:
    """Print each event of the local platform, until Ctrl-C."""
    settings = Settings.load()
    with (
        closing(aws.client(settings, "sns")) as sns,
        suppress(KeyboardInterrupt),
        subscribed(sns, settings.events_topic_arn, lambda event: typer.echo(json.dumps(event))),
    ):
        typer.echo("listening", err=True)
        while True:
            time.sleep(3_600)
