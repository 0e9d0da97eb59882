"""Takes events from the outbox to SNS. Whoever ends a job sends its event at once; a sensor sends what was left."""

import logging

from pipeline_project.aws import is_transient
from pipeline_project.jobs.outbox import Event, Outbox
from pipeline_project.notify.events import Notifier

logger = logging.getLogger("pipeline.notify")


class Delivery:
    """An event is marked as sent after SNS has taken it: it may be sent twice, and is never lost."""

    def __init__(self, outbox: Outbox, notifier: Notifier) -> None:
        self._outbox = outbox
        self._notifier = notifier

    def send(self, event: Event) -> bool:
        """Send one that is in the outbox. A failure is logged only: the event stays there."""
        return self._failure(event) is None

    def send_waiting(self) -> int:
        """Send what is waiting, oldest first; how many were sent.

        The first that fails because SNS is away or busy ends it. One that SNS refuses goes behind the others, so that
        it holds up none of them.
        """
        sent = 0
        for event in self._outbox.waiting():
            failure = self._failure(event)
            if failure is None:
                sent += 1
            elif is_transient(failure):
                break
            else:
                self._outbox.put_off(event)
        return sent

    def _failure(self, event: Event) -> Exception | None:
        try:
            self._notifier.publish(event)
            self._outbox.sent(event)
        except Exception as error:  # whatever it is, the event must not take down what it tells of
            logger.warning("event %s was not sent: %s", event["id"], type(error).__name__)
            return error
        return None
