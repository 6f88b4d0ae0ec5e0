"""Texts that are hard to write into JSON, into SQL, or into a pattern, and easy to get wrong."""

from random import Random

CONTROL_CHARACTERS = "".join(chr(code) for code in range(1, 0x20)) + "\x7f\x80\x85\x9f"
# The first and the last characters of each plane, non-characters and private ones among them, without the surrogates.
EDGES_OF_PLANES = "".join(
    chr((plane << 16) + place)
    for plane in range(17)
    for place in (0x0001, 0xD7FF, 0xE000, 0xFDD0, 0xFFFD, 0xFFFE, 0xFFFF)
    if not 0xD800 <= (plane << 16) + place <= 0xDFFF
)
AWKWARD = (
    "",
    " ",
    'a "quoted" name',
    "it's ''doubled''",
    "back\\slash \\\\ \\n \\u0041",
    "tab\tnew\nline\rreturn\b\f",
    "100% _under_ \\% \\_",
    '{"a": [1, null]}',
    "null",
    "true",
    "{1,2}",
    "[]",
    "$1 %s :name {0} ${x}",
    "E'\\x41' -- /* */ ;",
    "</script>\u2028\u2029",
    "İıſKß ǅ ΣΑΣ",
    "e\u0301 é \u1e9b\u0323",
    "שָׁלוֹם \u202eעולם\u202c abc \u200f١٢٣",
    "👩‍👩‍👧‍👦🏳️‍🌈👍🏽 🇩🇪",
    "\ufeffbom \u00a0\u200b",
    "𐍈 𝕏 🀄 丽 \U000e0041",
)
WORDS = ("Harbour", "lantern", "MOSS", "tide", "Kobalt", "Ær", "Zoë", "ｗｉｄｅ", "7", "-1", "1e5")


def any_text(random: Random, *, longest: int = 3_000) -> str:
    """A text: often words, often something awkward, and now and then a very long one."""
    chance = random.random()
    if chance < 0.45:
        return " ".join(random.choices(WORDS, k=random.randint(1, 3)))
    if chance < 0.75:
        return random.choice(AWKWARD)
    if chance < 0.97:
        return "".join(random.choices(_characters(random), k=random.randint(1, 12)))
    # One pattern over and over: PostgreSQL compresses it, or it would not fit into an index.
    return (any_text(random, longest=1) or "long ") * random.randint(1, longest)


def _characters(random: Random) -> str:
    return random.choice((CONTROL_CHARACTERS, EDGES_OF_PLANES, "\"\\'/%_", "aAbB äÄ", "\u05d0\u0627\u202e\u0301"))
