"""Which encoding bytes have that are not UTF-8, if that is sure.

charset-normalizer says in which encodings they are not a mess. Often that is several: to it, `Très` and `Trčs` are
equal. So each reading is looked at once more: is it written with the letters of one language, and are its signs where
signs belong? One reading has to be left. A guess that is wrong would be scored like any text, so in doubt there is
none.
"""

from __future__ import annotations

import re
import time

from charset_normalizer import from_bytes

GUESS_BYTES = 1024 * 1024
"""How much of a file is looked at."""
_SAMPLE_BYTES = 8 * 1024
"""Of that, lines that are not ASCII, so much: it takes milliseconds, whatever the bytes are."""
_LOOKED_AT_BYTES = 128 * 1024
"""About so much is looked at to find them, if they are not few."""
_WINDOW_BYTES = 1024
_PARTS = 64
"""Of each window at most, as there may be one every two bytes."""
_BEFORE_BYTES = 200
_LINE_END = re.compile(rb"[\n\r]")
_PART = re.compile(rb"[\x80-\xff][^\n\r]{0,199}")
_NOT_ASCII = re.compile("[^\x00-\x7f]")
_CANDIDATES = [
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8_r", "koi8_u", "cp866",
    "mac_roman", "mac_cyrillic", "cp437", "cp850", "cp852", "iso8859_2", "iso8859_5", "iso8859_7", "iso8859_15",
    "cp932", "euc_jp", "gb18030", "big5", "cp949",
]  # fmt: skip
_EAST_ASIAN = ("cp932", "euc_jp", "gb18030", "big5", "cp949")
_MOST = 0.4
"""More of a mess than that is no text. Accents alone make a fifth."""
_MARGIN = 0.2
"""Readings that are so much more of a mess than the best one are out."""
_MORE_LIKE = 0.2
"""If one reading is so much more like some language than another, the other is out."""
_LEAST = 2
"""Of one letter nobody can tell what it is."""
_LEAST_LETTERS = 8
"""So many different letters other than Latin ones."""
_FEW = 0.02
"""Letters of other languages, as in names, and signs in odd places may be so large a share."""
_LANGUAGES = {
    "English": "éèïçñöäü", "French": "àâæçéèêëîïôœùûü", "German": "äöüßé", "Spanish": "áéíñóúüªº",
    "Portuguese": "ãáâàçéêíóôõúüªº", "Italian": "àèéìíîòóùú", "Catalan": "àçèéíïòóúü·", "Dutch": "éëïóöüè",
    "Swedish": "åäöéü", "Danish": "æøåéöä", "Icelandic": "áðéíóúýþæö", "Polish": "ąćęłńóśźż",
    "Czech": "áčďéěíňóřšťúůýž", "Slovak": "áäčďéíľňóôšťúýž", "Hungarian": "áéíóöőúüű", "Romanian": "ăâîșțşţ",
    "Croatian": "čćđšž", "Estonian": "äöõüšž", "Latvian": "āčēģīķļņšūž", "Lithuanian": "ąčęėįšųūž",
    "Turkish": "çğıöşüâîûi̇", "Russian": "абвгдежзийклмнопрстуфхцчшщъыьэюяё",
    "Ukrainian": "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя", "Bulgarian": "абвгдежзийклмнопрстуфхцчшщъьюя",
    "Greek": "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ", "Hebrew": "אבגדהוזחטיךכלםמןנסעףפץצקרשת",
    "Arabic": "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيًٌٍَُِّْ،؛؟ـ",
}  # fmt: skip
_ALPHABETS = [frozenset(letters) for letters in _LANGUAGES.values()]
_SIGNS = frozenset("\xa0«»‘’“”„‚–—…•·°©®™€£¥§±×½¼¾²³¡¿´‹›№،؛؟ـ")
_IN_WORDS = frozenset("‘’´·–—…،ـ")
_BEFORE_WORDS = frozenset("„‚¿¡")
_LAST_LATIN = "\u024f"
_ALONE = frozenset("àáâåéèíóòôöúæøªº")
"""Letters with an accent that are words."""


def guessed_encoding(raw: bytes) -> str | None:
    """Python's name of the encoding, if it is sure."""
    sample = _sample(raw)
    written: dict[str, tuple[float, str]] = {}
    for name, text, coherence in _plausible(sample):
        time.sleep(0)  # lets others have a turn
        if text not in written and _is_written(text, name):
            written[text] = coherence, name
    most = max((coherence for coherence, _ in written.values()), default=0.0)
    left = [name for coherence, name in written.values() if coherence > most - _MORE_LIKE]
    return left[0] if len(left) == 1 else None


def _sample(raw: bytes) -> bytes:
    """Parts of lines with a byte that is not ASCII, from all over the bytes."""
    parts = _parts(raw, max(1, len(raw) // _LOOKED_AT_BYTES))
    if sum(map(len, parts)) < _SAMPLE_BYTES:
        parts = _parts(raw, 1)
    step = max(1, sum(map(len, parts)) // _SAMPLE_BYTES)
    return b"\n".join(parts[::step])[: 2 * _SAMPLE_BYTES]


def _parts(raw: bytes, stride: int) -> list[bytes]:
    """Such parts; after a window that has any, the next `stride - 1` are passed over."""
    parts: list[bytes] = []
    begin = window = taken = 0
    while (found := _PART.search(raw, begin)) is not None:
        if stride > 1 and taken and found.start() // _WINDOW_BYTES != window:
            # At a line's beginning: from the middle of a letter on, those of several bytes would be read as others.
            end = _LINE_END.search(raw, (window + stride) * _WINDOW_BYTES)
            if end is None:
                break
            begin, taken = end.end(), 0
            continue
        # Found from its first such byte: a pattern that begins before it would try again at each byte of the file.
        begin = max(begin, found.start() - _BEFORE_BYTES)
        line = max(raw.rfind(one, begin, found.start()) for one in (b"\n", b"\r")) + 1
        parts.append(raw[max(begin, line) : found.end()])
        begin = found.end()
        taken = taken + 1 if begin // _WINDOW_BYTES == window else 1
        window = begin // _WINDOW_BYTES
        if taken == _PARTS:
            begin = (window + 1) * _WINDOW_BYTES
            time.sleep(0)
    return parts


def _plausible(sample: bytes) -> list[tuple[str, str, float]]:
    """The readings that are little of a mess: the names of their encodings, the usual one first, the text, and how much
    its letters are as frequent as in some language.
    """
    found = from_bytes(sample, cp_isolation=_CANDIDATES, threshold=_MOST)
    least = min((match.chaos for match in found), default=0.0)
    readings = []
    for name in _CANDIDATES:
        for match in found:
            if match.chaos <= least + (_MARGIN / 2 if name in _EAST_ASIAN else _MARGIN) and name in (
                match.encoding,
                *match.could_be_from_charset,
            ):
                readings.append((name, str(match), match.coherence))
    return readings


def _is_written(text: str, name: str) -> bool:
    """Whether it can be a text of some language that is written in this encoding."""
    if name in _EAST_ASIAN:
        return _is_east_asian(text, name)
    letters: dict[str, int] = {}
    odd = count = 0
    for found in _NOT_ASCII.finditer(text):
        sign, place = found[0], found.start()
        before, after = text[place - 1 : place] or " ", text[place + 1 : place + 2] or " "
        count += 1
        if sign in _SIGNS:
            inside = before.isalpha() and after.isalpha() and sign not in _IN_WORDS
            odd += inside or (before.isalpha() and sign in _BEFORE_WORDS)
        elif sign.isalpha() or sign in "ًٌٍَُِّْ":
            small = sign.lower()
            letters[small] = letters.get(small, 0) + 1
            if sign <= _LAST_LATIN:
                mixed = small not in _ALONE and not before.isalpha() and not after.isalpha()
            else:
                mixed = "z" >= before.lower() >= "a" or "z" >= after.lower() >= "a"
            odd += mixed or (sign != small and before.isalpha() and before == before.lower() != before.upper())
        else:
            odd += 1
    if count < _LEAST or odd > _FEW * count:
        return False
    if any(letter > _LAST_LATIN for letter in letters) and len(letters) < _LEAST_LETTERS:
        return False
    total = sum(letters.values())
    return any(
        sum(n for letter, n in letters.items() if letter not in alphabet) <= _FEW * total for alphabet in _ALPHABETS
    )


def _is_east_asian(text: str, name: str) -> bool:
    signs = [sign for sign in text if sign > "\x7f"]
    kana = sum("\u3041" <= sign <= "\u30ff" for sign in signs)
    hangul = sum("\uac00" <= sign <= "\ud7a3" for sign in signs)
    han = sum("\u4e00" <= sign <= "\u9fff" for sign in signs)
    others = len(signs) - kana - hangul - han - sum("\u3000" <= sign <= "\u3020" or sign >= "\uff01" for sign in signs)
    if others > _FEW * len(signs) or len(signs) < 6:
        return False
    if name in ("cp932", "euc_jp"):
        return kana >= 0.2 * len(signs) and not hangul
    if name == "cp949":
        usual = sum(len(sign.encode("euc_kr", "replace")) == 2 for sign in signs)
        return hangul >= 0.8 * len(signs) and usual >= (1 - _FEW) * len(signs)
    if kana or hangul:
        return False
    # The commonest half of the signs stands before the others: nearly all of a text is among them.
    lowest, highest = (0xB0, 0xD7) if name == "gb18030" else (0xA4, 0xC6)
    common = sum(lowest <= sign.encode(name, "replace")[0] <= highest for sign in signs)
    return common >= 0.9 * han
