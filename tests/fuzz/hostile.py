"""Changes of structure: JSON, CSV, XML and text with something in them that should not be there."""

import csv
import io
import json
import re

# Text in place of a JSON value. What stands there twice is met more often.
JSON_VALUES = (
    "null", "true", "false", "0", "1", "-1", "2", "127", "128", "1000000", "2147483647",
    "2147483648", "-2147483649", "9223372036854775807", "9223372036854775808", "1e18", "1e39",
    "1e308", "1e309", "-1e309", "NaN", "Infinity", "-Infinity", "0.5", "-0.0", "1.5", "1e-320",
    '""', '"a"', '"\\u0000"', '"\\ud800"', '"\\u001b[2J"', '"../../x"', '"/etc/passwd"', '"1"',
    '"NaN"', '"\\uff11"', "[]", "{}", "[null]", "[[]]", "[0]", "[1, 2]", "[1, 2, 3]", "[-1, -1]",
    "[1000000000000, 1]", "[1e999]", '["a", "a"]', '{"a": 1}', '{"": null}', '{"0": "x"}',
    '{"a": 1, "a": 2}', '{"-1": "x"}', '{"\\uff11": "x"}',
)  # fmt: skip
LONG_JSON_VALUES = (
    "9" * 5000, "-" + "9" * 400, "0." + "1" * 2000, "[" * 70 + "]" * 70, "[" * 2000 + "]" * 2000,
    "[" * 100_000, '{"a":' * 100 + "1" + "}" * 100, '"' + "x" * 20_000 + '"',
    "[" + "0," * 9999 + "0]",
)  # fmt: skip
CELLS = (
    "", " ", "0", "-1", "1e309", "nan", "inf", "-inf", "NaN", "1_0", "\uff11", "\u0661", "0x10",
    "1e5", "1e300", "1e10", "1e-320", "--1", "+1", "1,5", "1.5.2", "\x00", "a\nb", "a\rb", '"',
    '""', "'", "=1+1", "'=1", "@x", "\ufeff", "\u202e", "\ud7ff", "\U0010ffff", "../x", "a#1",
    "#0", "true", "None", "x" * 300, "9" * 400, "1" + "0" * 5000,
)  # fmt: skip
XML_TEXTS = (
    *CELLS, "&lt;", "&x;", "&#0;", "&#x110000;", "<![CDATA[1]]>", "<b/>", "<!-- -->", "]]>",
    "<?x?>",
)  # fmt: skip
XML_TAGS = ("x", "object", "bndbox", "xmin", "image", "box", "points", "skeleton", "track")
XML_HEADS = (
    '<!DOCTYPE a [<!ENTITY x "y">]>',
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY x '
    '"&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>',
    '<?xml version="1.0" encoding="foo"?>',
    '<?xml version="1.0" encoding="utf-16"?>',
    '<?xml version="1.0" encoding="utf-7"?>',
    '<?xml version="1.0" encoding="idna"?>',
    '<?xml version="1.1"?>',
    '<?xml version="1.0" encoding="latin-1"?>',
)
_MARK = "@@here@@"


def json_text(rng, value, values=()):
    """Return a JSON text with a change; ``values`` are further texts to put somewhere."""
    value = json.loads(json.dumps(value))
    for _ in range(1 if rng.random() < 0.8 else rng.randrange(2, 4)):
        _change_node(rng, value)
    text = json.dumps(value, sort_keys=rng.random() < 0.5)
    for _ in range(text.count(_MARK)):
        long = rng.random() < 0.03
        known = LONG_JSON_VALUES if long else (*JSON_VALUES, *values)
        text = text.replace(f'"{_MARK}"', rng.choice(known), 1)
    return text


def _nodes(value, found):
    """Add every place in a value: its holder and key."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, held in items:
        found.append((value, key))
        if isinstance(held, dict | list):
            _nodes(held, found)
    return found


def _change_node(rng, value):
    places = _nodes(value, []) if isinstance(value, dict | list) else []
    if not places:
        return
    holder, key = rng.choice(places)
    kind = rng.randrange(10)
    if kind < 5:
        holder[key] = _MARK
    elif kind == 5:
        del holder[key]
    elif kind == 6:
        other, where = rng.choice(places)
        holder[key] = json.loads(json.dumps(other[where]))
    elif kind == 7 and isinstance(holder, dict):
        name = rng.choice(("", "a", "-1", "9", f"{key}x", key.upper(), "\x00", "\uff11", "1_0"))
        holder[name] = holder.pop(key)
    elif kind == 8 and isinstance(holder, list):
        holder.insert(rng.randrange(len(holder) + 1), rng.choice((_MARK, holder[key])))
    elif isinstance(holder[key], bool | int | float):
        holder[key] = changed_number(rng, holder[key])
    else:
        holder[key] = _MARK


def changed_number(rng, value):
    change = rng.choice(
        (lambda v: -v, lambda v: v + 1, lambda v: v - 1, lambda v: v * 10, lambda v: v / 2,
         lambda v: v + 0.25, lambda v: v * 2**40, float, int, bool)
    )  # fmt: skip
    return change(value)


def table(rng, text):
    """Return the bytes of a CSV table with a change."""
    rows = list(csv.reader(io.StringIO(text, newline="")))
    _change_rows(rng, rows)
    out = io.StringIO(newline="")
    quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    end = rng.choice(("\n", "\r\n", "\r", "\n\n"))
    separator = "," if rng.random() < 0.95 else rng.choice(";\t|")
    csv.writer(out, lineterminator=end, quoting=quoting, delimiter=separator).writerows(rows)
    whole = out.getvalue()
    if rng.random() < 0.005:
        whole += "x" * 200_000
    if rng.random() < 0.05:
        whole = whole.replace('"', "", 1)
    return encoded(rng, whole)


def _change_rows(rng, rows):
    kind, row = rng.randrange(12), rng.randrange(len(rows))
    if kind == 8:
        rows.insert(row, list(rng.choice(rows)))
    elif kind == 9:
        del rows[row]
    elif kind == 10:  # a column
        at = rng.randrange(6)
        for each in filter(None, rows):
            each.insert(min(at, len(each)), rng.choice((*CELLS, rng.choice(each))))
    elif rows[row]:
        _change_cells(rng, rows[row], rng.choice(rows), kind)


def _change_cells(rng, cells, others, kind):
    at = rng.randrange(len(cells))
    if kind < 6:
        cells[at] = rng.choice(CELLS)
    elif kind == 6:
        del cells[at]
    elif kind == 7:
        cells.insert(at, rng.choice(CELLS))
    elif others:
        cells[at] = rng.choice(others)


def encoded(rng, text):
    """Return text as bytes, at times in another encoding."""
    if rng.random() < 0.93:
        return text.encode("utf-8", "surrogatepass")
    name = rng.choice(("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-7"))
    return text.encode(name, "replace")


def lines(rng, text):
    """Return the bytes of lines of cells with blanks between, with a change."""
    rows = [line.split(" ") for line in text.split("\n")]
    cells = rng.choice(rows)
    at = rng.randrange(len(cells))
    kind = rng.randrange(8)
    if kind < 4:
        cells[at] = rng.choice((*CELLS, "1", "2", "3", rng.choice(rng.choice(rows))))
    elif kind == 4:
        del cells[at]
    elif kind == 5:
        cells.insert(at, rng.choice(CELLS))
    elif kind == 6:
        rows.insert(rng.randrange(len(rows)), list(cells))
    else:
        rows.remove(cells)
    end = rng.choice(("\n", "\n", "\r\n", "\r", "\x0b", "\x85", "\u2028"))
    return encoded(rng, end.join(" ".join(cells) for cells in rows))


def xml(rng, text):
    """Return the bytes of an XML text with a change."""
    tokens = re.findall(r"<[^>]+>|[^<]+", text)
    at = rng.randrange(len(tokens))
    kind = rng.randrange(10)
    told = [i for i, token in enumerate(tokens) if '="' in token and token[:2] != "<?"]
    if kind < 4 and told and rng.random() < 0.75:
        at = rng.choice(told)
        tokens[at] = _other_attribute(rng, tokens[at])
    elif kind < 4:
        inner = [i for i, token in enumerate(tokens) if not token.startswith("<")]
        tokens[rng.choice(inner)] = rng.choice(XML_TEXTS)
    elif kind == 4:
        del tokens[at]
    elif kind == 5:
        tokens.insert(at, rng.choice(tokens))
    elif kind == 6:
        other = rng.randrange(len(tokens))
        tokens[at], tokens[other] = tokens[other], tokens[at]
    elif kind == 7:
        head = rng.choice(XML_HEADS)
        tokens = [head, *tokens[rng.randrange(2) :]]
        tokens[rng.randrange(2, len(tokens))] = rng.choice(("&x;", "&b;", "y"))
    elif kind == 8:
        deep = rng.choice((3, 70, 2000, 100_000 if rng.random() < 0.02 else 500))
        tokens.insert(at, "<a>" * deep + "</a>" * rng.choice((0, deep, deep)))
    else:
        tokens[at] = re.sub(r"\w+", rng.choice(XML_TAGS), tokens[at], count=1)
    return encoded(rng, "".join(tokens))


def _other_attribute(rng, tag):
    """Change, rename or take out one of a tag's attributes."""
    found = rng.choice(list(re.finditer(r'(\w+)="([^"]*)"', tag)))
    name, value = found.groups()
    kind = rng.randrange(8)
    if kind == 0:
        new = ""
    elif kind == 1:
        new = f'{rng.choice(("x", "label", "points", "outside"))}="{value}"'
    elif kind == 2:
        new = f'{name}="{value}{rng.choice((";", ",", ";1,2", " ", ";;"))}"'
    else:
        new = f'{name}="{rng.choice(XML_TEXTS)}"'
    return tag[: found.start()] + new + tag[found.end() :]
