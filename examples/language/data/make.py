"""Write data/train/lines.csv and data/test/lines.csv from the translations inside Django.

Django's wheel carries its messages in some ninety languages (BSD licence): sentences by people,
the same ones in every language. A message is either for training or for testing in all
languages, so that nothing is learnt by heart.
"""

import ast
import csv
import re
import zlib
from pathlib import Path

import django

LANGUAGES = "cs da de el es fi fr hu it ja ko nl pl pt ru sv tr uk vi zh_Hans".split()
ENTRY = re.compile(r'^msgid ((?:".*"\n)+)msgstr ((?:".*"\n)+)', re.MULTILINE)
MARKUP = re.compile(r"%\(\w+\)[a-z]|%[a-z]|\{\w*\}|<[^>]+>|&\w+;|\s+")


def plain(quoted: str) -> str:
    text = "".join(ast.literal_eval(line) for line in quoted.splitlines())
    return MARKUP.sub(" ", text).strip()


def messages(language: str) -> dict[str, str]:
    """English messages with their translations, without placeholders."""
    found = {}
    for file in sorted(Path(django.__file__).parent.glob(f"**/locale/{language}/LC_MESSAGES/*.po")):
        for original, translation in ENTRY.findall(file.read_text(encoding="utf-8")):
            english, text = plain(original), plain(translation)
            if len(text) >= 8 and len(english) >= 12 and text != english:
                found[english] = text
    return found


rows = []
english = set()
for language in LANGUAGES:
    translated = messages(language)
    english |= translated.keys()
    rows += [(key, text, language.partition("_")[0]) for key, text in translated.items()]
rows += [(key, key, "en") for key in sorted(english)]
for part, chosen in (("train", range(1, 4)), ("test", range(1))):
    folder = Path(__file__).parent / part
    folder.mkdir(exist_ok=True)
    lines = [(text, lang) for key, text, lang in rows if zlib.crc32(key.encode()) % 4 in chosen]
    with (folder / "lines.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "language"])
        writer.writerows(lines)
    print(f"{folder}: {len(lines)} lines")
