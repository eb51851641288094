"""Messages: what comes from outside cannot move the cursor, hide text or fill the screen."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilq.cli.output import print_line
from minilq.errors import MOST_GOT, ConfigError, DataError, MinilqError, escaped

HARMFUL = "\x1b[2J\x1b]0;title\x07 \u202egnp.exe \x00\x7f\x85\u2028\r\udcff"


@given(st.text(st.characters(), max_size=50))
def test_what_is_escaped_is_one_printable_line_once_and_for_all(text):
    line = escaped(text)
    assert not any(unicodedata.category(sign)[0] == "C" or sign in "\u2028\u2029" for sign in line)
    assert escaped(line) == line
    assert line.encode().decode() == line
    assert text.isprintable() == (line == text)


@pytest.mark.parametrize("error", [
    MinilqError(HARMFUL), DataError("op", HARMFUL), ConfigError("op", "x", HARMFUL), DataError("op", "x", "y", HARMFUL),
    DataError(str(DataError("inner", got=HARMFUL)))])
def test_every_part_of_a_message_is_escaped(error):
    assert str(error).isprintable()
    assert str(error).count(r"\x1b[2J\x1b]0;title\x07 \u202egnp.exe \x00\x7f\x85\u2028\r\udcff") == 1


def test_long_texts_are_cut():
    assert str(DataError("op", "x", "y" * 5000, "z")) == f"op: x; got {'y' * MOST_GOT}.... z"
    assert len(str(DataError("a" * 10**5, "b" * 10**5, "c" * 10**5, "d" * 10**5))) < 10**4
    assert str(DataError("a", "b" * 1000)) == f"a: {'b' * 1000}"


def test_printed_lines_stay_lines_and_names_in_them_do_nothing(capsys):
    print_line("one\n\x1b[2Jtwo µ λ ×\n")
    assert capsys.readouterr().out == "one\n\\x1b[2Jtwo µ λ ×\n\n"
