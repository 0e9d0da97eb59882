"""The text of a CSV file, line by line. Only LF and CR end a line, because cells can contain line separators of Unicode."""

import codecs
import io
import re
from collections.abc import Iterator

from pipeline_project.ingest.decoding import limits
from pipeline_project.ingest.decoding.encodings import readings
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.notes import Notes
from pipeline_project.ingest.decoding.window import Window

_DOUBLE_ENCODED = re.compile("[ÂÃ][\u0080-\u00bf\u0152-\u0192\u02c6\u02dc\u2013-\u2122]\\w?")
"""Two characters that are one letter in UTF-8, read in a single-byte encoding: `Ã¼` is `ü`."""


class CsvText:
    """The lines of a CSV file. Some of them can be looked at before they are taken."""

    def __init__(self, window: Window, notes: Notes) -> None:
        self._window = window
        self._notes = notes
        self.is_whole = False
        """True if the sample was the whole file."""
        self.block = ""
        """The text from which the last lines were taken."""
        self.watched = ""
        """A text to watch for."""
        self.has_watched = False
        """True if the watched text occurred in a block that was read."""

    def sample(self) -> str:
        """Return the text of the first window without taking it."""
        window = self._window
        window.fill(limits.WINDOW)
        data = window.buffer[window.position : window.position + limits.WINDOW]
        self.is_whole = window.ended and len(data) == len(window.buffer) - window.position
        return self._decode(codecs.getincrementaldecoder("utf-8")(), data, final=self.is_whole)

    def lines(self) -> Iterator[str]:
        """Yield lines with their ends."""
        window = self._window
        decoder = codecs.getincrementaldecoder("utf-8")()
        rest = ""
        while True:
            window.fill(limits.WINDOW)
            data = window.buffer[window.position :]
            text = self.block = rest + self._decode(decoder, data, final=not data)
            window.position = len(window.buffer)
            self._look_at(text)
            lines = list(io.StringIO(text, newline=""))
            # A CR at the end of the data can be the first half of CR LF.
            rest = lines.pop() if data and lines and not lines[-1].endswith("\n") else ""
            yield from lines
            if not data:
                return
            if len(rest) > limits.FIELD_LIMIT:
                raise window.fault("bad_csv", f"a line is longer than {limits.FIELD_LIMIT:,} characters")

    def _look_at(self, text: str) -> None:
        if self.watched and self.watched in text:
            self.has_watched = True
        if ("Ã" in text or "Â" in text) and (found := _DOUBLE_ENCODED.search(text)):
            self._notes.add("double_encoded", sample=text[max(found.start() - 20, 0) : found.end() + 20])

    def _decode(self, decoder: codecs.IncrementalDecoder, data: bytes, *, final: bool) -> str:
        try:
            return decoder.decode(data, final)
        except UnicodeDecodeError as error:
            place = max(self._window.position + error.start - (len(error.object) - len(data)), 0)
            raise self._bad_encoding(place) from None

    def _bad_encoding(self, place: int) -> ObjectFault:
        """Return an error that shows the line in the encodings that it may have. None of them is taken as a guess."""
        buffer = self._window.buffer
        begin = max(buffer.rfind(b"\n", 0, place) + 1, place - 20)
        line = buffer[begin : place + 20].splitlines()[0] if place < len(buffer) else b""
        shown = "; ".join(f"{text!r} in {', '.join(encodings)}" for text, encodings in readings(line).items())
        return self._window.fault(
            "bad_encoding",
            f"not valid UTF-8. The text here is {shown or 'not readable'}. Export the file as UTF-8, or set the encoding "
            'that reads it right, for example `encoding = "cp1252"` under `[dialect]`',
            place,
        )
