"""Makes docs/API.md of the docstrings: python tests/api_page.py > docs/API.md"""

import dataclasses
import importlib
import inspect
import re
import sys

HEAD = """\
# Python API

The content of `import idi_fast as idi`. The import is fast, since each name is loaded on first use. This page is made
from the docstrings (`python tests/api_page.py > docs/API.md`), whose examples are run as tests. The figures are defined
in [KPIS.md](KPIS.md), the settings in [CONFIG.md](CONFIG.md), the files that `save` writes in
[COMMANDS.md](COMMANDS.md).

```python
import idi_fast as idi

bars = idi.load_history("btc.parquet")  # or idi.History.from_frame(df): polars, pandas, Arrow
run = idi.train({"episodes": 2000}, bars, seed=0)  # .policy .trace .episodes .evaluation .save(path)
test = idi.backtest(run.policy, bars, start="2024-01-01", fee_bps=5)  # .kpis .trades .equity .save(path)
idi.report(test).save("test.html")
```

Results print as a few lines, and show a small table, a chart and links to what was saved in a notebook. `plot()` gives
the figures of their report as figures of plotly, `summary_frame()` a DataFrame of polars with a row for each thing that
is compared, named in its first column `of`, and a column per figure, so that those of several results can be
concatenated (`polars.concat(frames, how="diagonal_relaxed")`). Invalid arguments raise an error of the
[family below](#errors), whose text names the argument.
"""
SECTIONS = {
    "The whole way": ("run", "CompleteRun"),
    "Price histories": (
        "load_history",
        "History",
        "overview",
        "convert_files",
        "simulate_history",
        "return_moments",
        "ReturnMoments",
    ),
    "Training": (
        "TrainingConfig",
        "train",
        "TrainingRun",
        "create_trainer",
        "Trainer",
        "Progress",
        "ProgressLog",
        "train_population",
        "Population",
        "Lane",
        "PopulationProgress",
    ),
    "Features, markets and rewards of one's own": (
        "register_feature",
        "register_market",
        "register_reward",
        "load_plugin",
    ),
    "Policies": ("Policy", "Trace", "evaluate", "Comparison", "Evaluation", "select_best_policy"),
    "Backtests": ("backtest", "Backtest", "PopulationBacktest"),
    "Selection": ("walk_forward", "WalkForward", "sweep", "Sweep"),
    "Reports": ("report", "HtmlReport", "write_report", "plot_simulation", "list_runs", "RunTable", "serve_lab"),
    "Errors": (
        "IdiFastError",
        "InputError",
        "ConfigError",
        "DataError",
        "ArtifactError",
        "NumericalError",
        "OutputError",
        "EvidenceError",
        "WriteError",
        "Cancelled",
        "CacheWarning",
    ),
}
TAU = {
    "Specifications": ("parse_spec", "load_spec", "Spec", "Declaration", "Clause", "anchored", "write_spec"),
    "Running": ("simulate", "simulate_folder", "Simulation", "Stop", "run_folder", "Run"),
    "Checking": ("check_folder", "Report", "Finding", "fix_folder", "Fixed"),
    "Streams and contracts": ("export_streams", "find_contract", "read_contract", "Contract"),
    "Errors of specifications": ("SpecError", "NotModelled"),
}
TABLES = {"Parameters", "Attributes", "Returns", "Raises", "Yields"}


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for package, sections in (("idi_fast", SECTIONS), ("idi_fast.tau", TAU)):
        module = importlib.import_module(package)
        if package != "idi_fast":
            parts.append(f"# {package}\n\n{inspect.getdoc(module).splitlines()[0]}\n")
        for title, names in sections.items():
            parts.append(f"## {title}\n")
            parts += [entry(name, getattr(module, name)) for name in names]
    return "\n".join(parts)


def entry(name: str, thing: object) -> str:
    """A function, or a class with what it can do."""
    doc = inspect.getdoc(thing) or ""
    if isinstance(thing, type) and issubclass(thing, Exception):
        return f"**`{name}`** – {text_of(doc)}\n"
    if not isinstance(thing, type):
        return f"### {name}\n\n```python\n{signature(name, thing)}\n```\n\n{text_of(doc)}\n"
    ours = [kind for kind in reversed(thing.__mro__) if kind.__module__.startswith("idi_fast.")]
    methods = {
        other: member
        for kind in ours
        for other, member in vars(kind).items()
        if not other.startswith("_") and (inspect.isfunction(member) or isinstance(member, classmethod))
    }
    listed, entries = [], []
    for other, member in methods.items():
        function = member.__func__ if isinstance(member, classmethod) else member
        text = inspect.getdoc(function) or ""
        if "\n---" in text:
            shown = signature(other, function, drop_first=True)
            entries.append(f"#### {name}.{other}\n\n```python\n{shown}\n```\n\n{text_of(text)}\n")
        else:
            shown = signature(other, function, drop_first=True, most=10_000)
            listed.append(f"- `{shown}`: {' '.join(text.split()).replace('``', '`')}")
    can_do = ["Methods:\n\n" + "\n".join(listed) + "\n"] if listed else []
    return "\n".join([f"### {name}\n\n{text_of(doc)}\n", *can_do, *entries])


def signature(name: str, function, drop_first: bool = False, most: int = 100) -> str:
    """The signature as in the source, a parameter a line where it has more than `most` letters."""
    found = inspect.signature(function)
    parameters = list(found.parameters.values())[drop_first:]
    shown, starred = [], False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            shown.append("*")
            starred = True
        annotation = "" if parameter.annotation is parameter.empty else f": {plain(parameter.annotation)}"
        default = "" if parameter.default is parameter.empty else f" = {default_of(parameter.default)}"
        shown.append(f"{parameter.name}{annotation}{default}")
    back = "" if found.return_annotation is found.empty else f" -> {plain(found.return_annotation)}"
    line = f"{name}({', '.join(shown)}){back}"
    return line if len(line) <= most else f"{name}(\n" + "".join(f"    {part},\n" for part in shown) + f"){back}"


def plain(annotation: object) -> str:
    """A type without the modules that it is from."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"[A-Za-z_]\w*(\.\w+)*\.(\w+)", r"\2", text).replace("NoneType", "None")


def default_of(value: object) -> str:
    return "…" if callable(value) or dataclasses.is_dataclass(value) else repr(value)


def text_of(doc: str) -> str:
    """A docstring of numpydoc's form as Markdown."""
    blocks, title, body = [], None, []
    lines = doc.splitlines()
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if following.startswith("---"):
            blocks.append((title, body))
            title, body = line, []
        elif not line.startswith("---"):
            body.append(line)
    return "\n\n".join(filter(None, (block(title, body) for title, body in [*blocks, (title, body)])))


def block(title: str | None, body: list[str]) -> str:
    text = "\n".join(body).strip("\n")
    if title is None:
        return text.replace("``", "`")
    if title == "Examples":
        return f"```pycon\n{text}\n```"
    assert title in TABLES, title
    items: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("    "):
            items[-1].append(line.strip())
        elif line.strip():
            items.append([line.strip()])
    shown = "\n".join(f"- {named(title, head)}{': ' if rest else ''}{' '.join(rest)}" for head, *rest in items)
    return f"{title}:\n\n{shown}".replace("``", "`")


def named(title: str, head: str) -> str:
    name, sign, kind = head.partition(" : ")
    name = ", ".join(f"`{part}`" for part in name.split(", "))
    return f"{name} ({kind})" if sign else name


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write(page())
