"""Foreign text made visible: nothing is hidden, nothing poses as our own marks, nothing is lost."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.core.glyphs import a_label, kind
from jit_auth.core.text import host_shown, visible

OPEN, CLOSE = "\u27e8", "\u27e9"
MARK = re.compile(f"{OPEN}U\\+([0-9A-F]{{4,6}}){CLOSE}(?:{OPEN}\u00d7([0-9]+){CLOSE})?")
# Characters that attackers like, beside any others.
ODD = (
    "\u202e\u200b\u2066\ufeff\u00ad\u3164\u2800\u00a0\u3000\u0301\u0338\u20dd\ud800\ue000\U000e0041\u27e8\u27e9\n  \t\0"
)
HOSTS = "\u0430a.@/:\u3002\uff0e\uff61-"


def pieces(letters: str) -> st.SearchStrategy[str]:
    """Runs of one character, so that the rules about runs are met."""
    char = st.one_of(st.characters(exclude_characters=HOSTS), st.sampled_from(letters))
    run = st.builds(lambda c, n: c * n, char, st.sampled_from([1, 1, 1, 2, 3, 4, 12]))
    return st.lists(run, max_size=20).map("".join)


texts = pieces(ODD + HOSTS)
nameless = pieces(ODD + "a\u0430\u00d7U+0 mixed")
"""Text without what could be a host or an address."""


def written(*codes: int) -> str:
    return "".join(f"{OPEN}U+{code:04X}{CLOSE}" for code in codes)


def read_back(shown: str) -> str:
    """What a careful reader makes of text that names no hosts: marks back to characters."""
    # The line feed after a mark of line feeds is ours: the run took every one that followed.
    shown = re.sub(f"({OPEN}U\\+000A{CLOSE}(?:{OPEN}\u00d7[0-9]+{CLOSE})?)\n", r"\1", shown)
    shown = re.sub(f"{OPEN}mixed scripts: [^{CLOSE}]*{CLOSE}", "", shown)
    return MARK.sub(lambda mark: chr(int(mark[1], 16)) * int(mark[2] or 1), shown)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Plain text, with 3   spaces\nand lines\n\n\nhere.",
        "naïve café, Größe, œuvre",
        "Привет, как дела?",
        "東京のTシャツ、한국어 문장",
        "שלום, العربية, हिन्दी में लिखा",
        "Cafe\u0301 in two code points",
        "5 \u00b5m, \u20ac 3.50, 1\u00bd, 20\u00b0C \u2013 fine \u201cquotes\u201d",
        "alice@example.com https://example.com/a?b=c#d xn--pple-43d.com",
        "3.50\u20ac",
    ],
)
def test_honest_text_is_shown_as_it_is(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    "char",
    list(
        "\0\t\r\x1b\x7f\x85"  # Cc
        "\u00ad\u061c\u180e\u200b\u200d\u200e\u202a\u202e\u2060\u2066\u2069\ufeff\U000e0001\U000e0041"  # Cf
        "\ue000\U0010fffd\ud800\udfff\uffff\u0378"  # Co, Cs, Cn
        "\u2028\u2029"  # Zl, Zp
        "\u034f\u115f\u1160\u17b4\u3164\uffa0\ufe0f\U000e0100\u2800"  # ignorable or blank
        "\u00a0\u1680\u2003\u202f\u205f\u3000"  # spaces
    ),
)
def test_hidden_and_blank_characters_are_marked_by_code_point(char: str) -> None:
    assert visible(f"a{char}b") == f"a{written(ord(char))}b"


def test_every_code_point_of_the_named_classes_is_marked_and_no_other() -> None:
    blank = {0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0}
    for code in range(0x110000):
        char = chr(code)
        category = unicodedata.category(char)
        if (category in {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp", "Zs"} or code in blank) and char not in " \n":
            assert kind(char) == "h", hex(code)
        elif category[0] in "LNPS" and code not in blank and code not in {0x27E8, 0x1D159, 0x13441, 0x13442}:
            assert kind(char) == "o", hex(code)


@pytest.mark.parametrize(("count", "shown"), [(3, "   "), (4, None), (61_440, None)])
def test_runs_of_spaces_are_counted(count: int, shown: str | None) -> None:
    expected = shown or f"{written(0x20)}{OPEN}\u00d7{count}{CLOSE}"
    assert visible("pay" + " " * count + "now") == f"pay{expected}now"


def test_runs_of_blank_lines_are_counted_and_end_in_one() -> None:
    assert visible("a\n\n\nb") == "a\n\n\nb"
    assert visible("a" + "\n" * 500 + "b") == f"a{written(10)}{OPEN}\u00d7500{CLOSE}\nb"
    assert visible("a\n  \n  \n  \nb").startswith(f"a{written(10, 32, 32, 10)}")


def test_stacked_and_stray_combining_marks_are_marked() -> None:
    assert visible("e\u0301\u0302x") == "e\u0301\u0302x"
    assert visible("e\u0301\u0302\u0303x") == f"e{written(0x301, 0x302, 0x303)}x"
    assert visible("\u0338 a") == f"{written(0x338)} a"
    assert visible(" \u20dd") == f" {written(0x20DD)}"
    assert visible("a" + "\u0301" * 900) == f"a{written(0x301)}{OPEN}\u00d7900{CLOSE}"


def test_foreign_text_cannot_write_our_marks() -> None:
    assert visible(f"{OPEN}U+202E{CLOSE}") == f"{written(0x27E8)}U+202E{CLOSE}"
    assert visible(f"{OPEN}masked{CLOSE}").count(f"{OPEN}masked") == 0


def test_one_line_marks_line_feeds_too() -> None:
    assert visible("a\nb", one_line=True) == f"a{written(10)}b"
    assert visible("\u00e9\nb", one_line=True) == f"\u00e9{written(10)}b"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("https://\u0430pple.com/login", "https://xn--pple-43d.com"),
        ("see http://\u0430\u0440\u0440\u04cf\u0435.com now", "http://xn--80ak6aa92e.com"),
        ("paypal@\u0430pple.com", "paypal@xn--pple-43d.com"),
        ("open \u0430pple.com now", "open xn--pple-43d.com"),
        ("https://good.example\u2044evil.example/", ".xn--exampleevil-lx3f.example"),
        ("https://b\u00fccher.example", "https://xn--bcher-kva.example"),
        ("https://\u4f8b\u3048\u3002\u30c6\u30b9\u30c8/x", "https://xn--r8jz45g.xn--zckzah/x"),
    ],
)
def test_hosts_and_addresses_are_shown_as_a_labels(text: str, label: str) -> None:
    shown = visible(text)
    assert label in shown
    assert "\u0430pple" not in shown


@pytest.mark.parametrize(
    "text", ["\u00dcbersicht.pdf", "Gr\u00f6\u00dfe.Das ist", "h\u00f6st.Com", "\u043e\u0442\u0447\u0451\u0442.pdf"]
)
def test_what_may_be_a_file_name_keeps_its_words_beside_the_host_it_could_name(text: str) -> None:
    word = text.split()[0]
    assert visible(text).startswith(f"{word}{OPEN}xn--")


@pytest.mark.parametrize(
    "word",
    [
        "p\u0430ypal",
        "\u0455ecure",
        "\u03bfffice",
        "CE\u041e",
        "\U0001d5c9aypal",
        "\u0441\u0435\u043e@company.example",
        "\u13a0BC",
    ],
)
def test_words_of_mixed_scripts_are_flagged(word: str) -> None:
    assert f"{OPEN}mixed scripts: " in visible(f"the {word} here")


def test_digits_of_several_scripts_are_flagged() -> None:
    assert "digits of several scripts" in visible("pay 1\u09ea0 EUR")  # a Bengali 4, drawn as an 8
    assert visible("\u0664\u0662") == "\u0664\u0662"


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("api.example.com:8443", "api.example.com:8443"),
        ("[::1]:8080", "[::1]:8080"),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("B\u00dcCHER.example", "xn--bcher-kva.example"),
        ("pay\u200bpal.com", f"pay{written(0x200B)}pal.com"),
        ("a\nb", f"a{written(10)}b"),
    ],
)
def test_a_host_is_shown_as_a_labels(host: str, shown: str) -> None:
    assert host_shown(host) == shown


def test_lowering_a_label_never_makes_a_plain_letter_of_a_foreign_one() -> None:
    assert a_label("\u212araken") != "kraken"  # the Kelvin sign
    assert a_label("\u0130nt").startswith("xn--")
    assert a_label("stra\u00dfe") == "xn--strae-oqa"


@given(texts)
def test_whatever_comes_nothing_hidden_is_left(text: str) -> None:
    shown = visible(text)
    ours = MARK.sub("", shown)
    assert all(kind(char) != "h" or char == OPEN for char in shown)
    assert "    " not in shown
    assert not re.search(r"\n(?: {0,3}\n){3}", shown)
    assert not re.search(f"{OPEN}U\\+", ours)
    shown.encode("utf-8")


@given(nameless)
def test_a_reader_can_tell_the_text_from_what_is_shown(text: str) -> None:
    assert read_back(visible(text)) == text


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80))
def test_printable_ascii_without_long_runs_is_untouched(text: str) -> None:
    if "    " not in text:
        assert visible(text) == text
