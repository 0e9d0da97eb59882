"""`pipeline events`: shows each event that subscribers of the topic get, at the time when the event is sent."""

import json
import time
from contextlib import suppress

import typer

from pipeline_project.notify.subscriber import subscribed
from pipeline_project.services import Services


def events() -> None:
    """Print each event of the local platform, until Ctrl-C."""
    with (
        Services() as services,
        suppress(KeyboardInterrupt),
        subscribed(
            services.client("sns"), services.settings.events_topic_arn, lambda event: typer.echo(json.dumps(event))
        ),
    ):
        typer.echo("listening", err=True)
        while True:
            time.sleep(3_600)
