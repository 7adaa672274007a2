import io

import pytest
from wherry.cli.style import look, painted, write


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


LINE = [("✔ ", "good"), ("run 1", "")]


@pytest.mark.parametrize(
    ("environ", "live", "color"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, False, False),
        ({}, False, False),
    ],
)
def test_a_terminal_may_refuse_to_be_drawn_on(environ, live, color):
    seen = look(Terminal(), environ)
    assert (seen.live, seen.color) == (live, color)


def test_a_pipe_gets_lines_without_colours_as_long_as_it_takes():
    seen = look(io.StringIO(), {"TERM": "xterm"})
    assert (seen.live, seen.color, seen.width) == (False, False, None)


def test_colours_only_where_asked():
    assert painted(LINE, True) == "\x1b[32m✔ \x1b[0mrun 1"
    assert painted(LINE, False) == "✔ run 1"


def test_signs_that_an_encoding_lacks_are_replaced():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    write(stream, [[("✔ a → b: naïve …", "good")]], color=False)
    assert raw.getvalue() == b"+ a > b: na\\xefve ~\n"
    assert not look(stream, {"TERM": "xterm"}).live
