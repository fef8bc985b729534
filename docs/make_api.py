"""Writes docs/api.md from the docstrings: python docs/make_api.py. A test compares the page."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import io
import itertools
import re
import textwrap
import tokenize
from pathlib import Path

PAGE = Path(__file__).with_name("api.md")
PACKAGES = (
    *("kdet", "kdet.config", "kdet.models", "kdet.data", "kdet.draw", "kdet.masks"),
    *(
        "kdet.evaluate",
        "kdet.analyse",
        "kdet.serving",
        "kdet.train",
        "kdet.layers",
        "kdet.backbones",
    ),
    *("kdet.ops", "kdet.errors"),
)
FIRST = ("kdet.config", "kdet.errors")  # what kdet repeats of these is described with them
HEAD = """# API

This page lists every public name of kdet with its docstring. `docs/make_api.py` writes it, and a
test compares it with the code. [The guide](guide.md) explains how things work together.

- Boxes are `xyxy` float32 in pixels, half-open (width = x2 - x1). Sizes are (height, width).
- Labels are 0..K-1, without a background class.
- B is the number of images, N of detections, M of objects, K of classes. H and W are the height and
  the width of an image.
- Every error that kdet raises on purpose is a `kdet.KdetError`, and its message is one line.
- A config is shown as a table of its fields. A field without a default must be given.

The packages are:

"""
ITEM = re.compile(r"([\w.*]+(?:, [\w.*]+)*): (.*)")
TITLE = re.compile(r"([A-Z]\w+):")


def page() -> str:
    """The text of docs/api.md."""
    modules = [importlib.import_module(name) for name in PACKAGES]
    homes = {}
    for module in sorted(modules, key=lambda m: m.__name__ not in FIRST):
        for name in public(module):
            homes.setdefault(id(getattr(module, name)), f"{module.__name__}.{name}")
    contents = [f"- [{m.__name__}]({link(m.__name__)}): {escaped(summary(m))}\n" for m in modules]
    sections = [section(module, homes) for module in modules]
    return HEAD + "".join(contents) + "\n" + "\n".join(sections)


def public(module) -> list[str]:
    """The public names of a module: `__all__`, or what it defines without an underscore."""
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if name != "__version__"]
    own = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__]
    return [name for name in own if not name.startswith("_")]


def section(module, homes) -> str:
    """The part of the page on one package: an index, then one entry per name."""
    rows, entries, constants = [], [], []
    for name in public(module):
        value, full = getattr(module, name), f"{module.__name__}.{name}"
        if not (inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value)):
            source = assignment(module, name)
            constants += [source] * (source not in constants)
            continue
        is_error = inspect.isclass(value) and issubclass(value, Exception)
        home = value.__name__ if inspect.ismodule(value) else homes[id(value)]
        target = home.rpartition(".")[0] if is_error else home
        rows.append(f"| [`{name}`]({link(target)}) | {cell(summary(value))} |\n")
        if home == full and full not in PACKAGES and not is_error:
            entries.append(entry(full, value))
    text = f"## `{module.__name__}`\n\n{markdown(module.__doc__)}\n| name | summary |\n|---|---|\n"
    text += "".join(rows) + "\n"
    if constants:
        text += f"### Constants of `{module.__name__}`\n\n" + fenced("\n".join(constants))
    return text + "".join(entries)


def entry(full, value, level=3) -> str:
    """One name: heading, signature, docstring, and what belongs to it."""
    text = f"{'#' * level} `{full}`\n\n"
    if inspect.ismodule(value):
        parts = [entry(f"{full}.{n}", getattr(value, n), level + 1) for n in public(value)]
        return text + markdown(value.__doc__) + "\n" + "".join(parts)
    if inspect.isclass(value):
        is_config = dataclasses.is_dataclass(value) and value.__module__.startswith("kdet.config")
        text += ("" if is_config else class_signature(value)) + markdown(value.__doc__) + "\n"
        if is_config:
            text += fields_table(value)
        return text + "".join(members(value, level + 1))
    return text + fenced(signature(value, full.split(".")[-1])) + markdown(value.__doc__) + "\n"


def members(value, level):
    """Entries of the documented methods and properties that a class defines itself."""
    for name, member in vars(value).items():
        function = getattr(member, "__func__", getattr(member, "fget", None) or member)
        if not inspect.isfunction(function) or not function.__doc__:
            continue
        if name.startswith("_") and name != "__call__":
            continue
        call = "" if isinstance(member, property) else fenced(signature(function, name))
        heading = f"{'#' * level} `{value.__name__}.{name}`\n\n"
        yield heading + call + markdown(function.__doc__) + "\n"


def summary(value) -> str:
    """The first line of a docstring."""
    return inspect.getdoc(value).splitlines()[0]


def link(full) -> str:
    """GitHub's anchor of the heading that is a dotted name."""
    return "#" + full.lower().replace(".", "")


def fenced(code) -> str:
    """Code as a block."""
    return f"```\n{code}\n```\n\n"


def assignment(module, name) -> str:
    """Source of the statement that gives a constant its value, with the comment above it."""
    for path in sorted(Path(module.__file__).parent.glob("*.py")):
        source = path.read_text("utf-8")
        for node in ast.parse(source).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            names = {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
            if name in names:
                lines, first = source.splitlines(), node.lineno - 1
                while lines[first - 1].startswith("#"):
                    first -= 1
                return "\n".join(lines[first : node.end_lineno])
    raise LookupError(f"{module.__name__}.{name} is assigned nowhere")


def parsed(value):
    """(syntax tree, source) of a function or a class."""
    source = textwrap.dedent(inspect.getsource(value))
    return ast.parse(source).body[0], source


def class_signature(value) -> str:
    """How a class is called; nothing where its constructor is not documented here."""
    if dataclasses.is_dataclass(value):
        names = [f.name + "=None" * (f.default is None) for f in dataclasses.fields(value)]
        return fenced(f"{value.__name__}({', '.join(names)})")
    if "__init__" not in vars(value):
        return ""
    return fenced(signature(value.__init__, value.__name__))


def signature(function, name) -> str:
    """A call with annotations and defaults as they are written; a line each if it is long."""
    node, source = parsed(function)
    every = node.args

    def shown(argument, default=None, star=""):
        text = star + argument.arg
        if argument.annotation:
            text += f": {ast.get_source_segment(source, argument.annotation)}"
        if default is None:
            return text
        equals = " = " if argument.annotation else "="
        return text + equals + ast.get_source_segment(source, default)

    plain = [*every.posonlyargs, *every.args]
    defaults = [None] * (len(plain) - len(every.defaults)) + every.defaults
    parts = [shown(*pair) for pair in zip(plain, defaults) if pair[0].arg not in ("self", "cls")]
    parts += [shown(every.vararg, star="*")] if every.vararg else []
    parts += [shown(*pair) for pair in zip(every.kwonlyargs, every.kw_defaults)]
    parts += [shown(every.kwarg, star="**")] if every.kwarg else []
    back = f" -> {ast.get_source_segment(source, node.returns)}" if node.returns else ""
    line = f"{name}({', '.join(parts)}){back}"
    return line if len(line) <= 100 else f"{name}(\n    " + ",\n    ".join(parts) + f",\n){back}"


def fields_table(value) -> str:
    """The fields of a config; comments between them become rows of their own."""
    node, source = parsed(value)
    comments = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            alone = not token.line[: token.start[1]].strip()
            comments[token.start[0]] = (token.string.lstrip("# "), alone)
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
    for field in fields:
        line, above = field.lineno - 1, []
        while comments.get(line, ("", False))[1]:
            above.insert(0, comments[line][0])
            line -= 1
        rows += [f"| | | | *{cell(' '.join(above))}* |"] if above else []
        default = ast.get_source_segment(source, field.value) if field.value else ""
        default = "{}" if default == "field(default_factory=dict)" else default
        kind = ast.get_source_segment(source, field.annotation)
        said, alone = comments.get(field.end_lineno, ("", True))
        code = [f"`{text}`" if text else "" for text in (field.target.id, kind, default)]
        rows.append(f"| {' | '.join(map(cell, code))} | {'' if alone else cell(said)} |")
    return "\n".join(rows) + "\n\n" if fields else ""


def cell(text) -> str:
    """Text in a cell of a table."""
    return escaped(text).replace("|", "\\|")


def escaped(text) -> str:
    """Prose with what Markdown would take for markup escaped, outside of `code`."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(p if p[:1] == "`" else re.sub(r"([*<~\[\]])", r"\\\1", p) for p in parts)


def markdown(doc) -> str:
    """A docstring as Markdown: sections become lists, aligned columns too."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(doc)):
        lines = paragraph.splitlines()
        columns = [re.fullmatch(r"(\S.*?)\s{2,}(\S.*)", line) for line in lines]
        if all(columns):
            parts.append("\n".join(f"- `{c[1]}`: {escaped(c[2])}" for c in columns))
            continue
        while lines:
            head = take(lines, indented=False)
            title = TITLE.fullmatch(head[-1]) if head and lines else None
            parts.append(escaped(" ".join(head[:-1] if title else head)))
            parts.append(items(take(lines, indented=True), title[1] if title else ""))
    return "\n\n".join(part for part in parts if part) + "\n"


def take(lines, indented) -> list[str]:
    """Removes the first lines as long as they are indented, or are not; returns them."""
    taken = list(itertools.takewhile(lambda line: line.startswith(" ") == indented, lines))
    del lines[: len(taken)]
    return taken


def items(lines, title) -> str:
    """A title and the lines below it: a list, or one paragraph where "Returns" is one."""
    least = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    found = []
    for line in lines:
        if line[least] != " " or not found:
            found.append(line.strip())
        else:
            found[-1] += " " + line.strip()
    named = [ITEM.fullmatch(item) for item in found]
    if title == "Returns" and not all(named):
        return f"**{title}:** " + escaped(" ".join(found))
    texts = [f"`{n[1]}`: {escaped(n[2])}" if n else escaped(i) for n, i in zip(named, found)]
    return (f"**{title}:**\n\n" if title else "") + "\n".join(f"- {text}" for text in texts)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
