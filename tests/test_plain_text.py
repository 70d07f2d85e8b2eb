"""Names of users as they are shown: nothing a terminal obeys, nothing invisible, nothing cut in the middle."""

import unicodedata

import pytest

from cnn_jax.plain_text import clusters, distinct, plain, plain_lines, shortened, valid_unicode


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("IMG [edited].png", "IMG [edited].png"),
        ("$5 <b> été 中文 😀 \u05e9\u05dc\u05d5\u05dd", "$5 <b> été 中文 😀 \u05e9\u05dc\u05d5\u05dd"),
        ("a\x1b[31mred\x1b[0m\a", r"a\x1b[31mred\x1b[0m\x07"),
        ("\x9b31m", r"\x9b31m"),  # the C1 form of the same code
        ("line\nbreak\r\t", r"line\nbreak\r\t"),
        ("cat\u200b", r"cat\u200b"),  # zero width space
        ("a\u202egnp.exe", r"a\u202egnp.exe"),  # right-to-left override
        ("ab\u2066c\u2028", r"ab\u2066c\u2028"),
        ("\ufeffname", r"\ufeffname"),
        ("\u3164", r"\u3164"),  # a Hangul letter without a shape
        ("caf\udce9", r"caf\xe9"),  # Latin-1 as os.listdir gives it
        ("\ud800", r"\ud800"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),  # joiners within a word are part of it
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ("cat\u200d", r"cat\u200d"),
        ("c\u200dat", r"c\u200dat"),
    ],
)
def test_what_is_escaped(text, shown):
    assert plain(text) == shown
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in plain(text))


def test_messages_keep_their_lines():
    assert plain_lines("one\n\ttwo\x1b[2J\r") == "one\n\ttwo\\x1b[2J\\r"


def test_text_that_can_be_encoded():
    name = b"caf\xe9 \x1b".decode("utf-8", "surrogateescape")
    assert valid_unicode(name) == "caf\\xe9 \x1b"
    assert valid_unicode("中\n") == "中\n"


@pytest.mark.parametrize(
    ("text", "most", "short"),
    [
        ("short", 5, "short"),
        ("abcdefghij", 7, "abcd…ij"),  # 7 = 4 + 1 + 2: a third of the room is for the end
        ("中文名字很长", 7, "中文…长"),  # wide characters count twice
        ("\x1b\x1b\x1b\x1b", 10, r"\x1b\x1b…"),  # an escape is never cut
        ("e\u0301" * 9, 7, "e\u0301" * 4 + "…" + "e\u0301" * 2),
    ],
)
def test_shortened(text, most, short):
    assert shortened(text, most) == short


def test_long_names_that_differ_anywhere_stay_apart():
    names = [
        "x" * 254 + "1",
        "x" * 254 + "2",
        "1" + "x" * 254,
        "x" * 100 + "1" + "x" * 154,
        "x" * 100 + "2" + "x" * 154,
    ]
    shown = distinct(names, 20)
    assert len(set(shown)) == 5
    assert shown[:2] == ["x" * 13 + "…" + "x" * 5 + "1", "x" * 13 + "…" + "x" * 5 + "2"]
    assert [each[:3] for each in shown[3:]] == ["3: ", "4: "]


def test_names_that_look_alike_are_numbered():
    names = ["cat", "cat ", "\u00e9", "e\u0301", "", "dog"]
    assert distinct(names, 20) == ["0: cat", "1: cat ", "2: é", "3: e\u0301", "4: (no name)", "dog"]


def test_a_character_keeps_its_marks():
    assert list(clusters("e\u0301a❤\ufe0f👨\u200d👩")) == ["e\u0301", "a", "❤\ufe0f", "👨\u200d👩"]
