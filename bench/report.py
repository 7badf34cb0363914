"""Results as Markdown tables for people."""

from collections.abc import Callable, Sequence

TITLES = {
    "kernels": "Kernels",
    "train": "Training",
    "backtest": "Backtest",
    "export": "Export",
    "startup": "Whole processes",
    "memory": "Memory",
    "scaling": "Scaling of the default config",
}
# Header of the column, and its figure from the time relative to the yardstick's.
YARDSTICKS: dict[str, tuple[str, Callable[[float], str]]] = {
    "plain_python": ("× plain Python", lambda ratio: f"{1 / ratio:.0f}"),
    "reference": ("× reference", lambda ratio: f"{1 / ratio:.0f}"),
    "c": ("time / C", lambda ratio: f"{ratio:.2f}"),
    "plain": ("time / plain Q-learning", lambda ratio: f"{ratio:.2f}"),
    "one_job": ("× one job", lambda ratio: f"{1 / ratio:.2f}"),
    "polars": ("time / polars", lambda ratio: f"{ratio:.1f}"),
    "one_history": ("time / one history", lambda ratio: f"{ratio:.1f}"),
    "polars_scan": ("time / polars' scan", lambda ratio: f"{ratio:.1f}"),
    "vectorbt": ("× vectorbt", lambda ratio: f"{1 / ratio:.1f}"),
    "vectorbt_rust": ("× vectorbt in Rust", lambda ratio: f"{1 / ratio:.1f}"),
    "alone": ("time / alone", lambda ratio: f"{ratio:.2f}"),
    "interpreter": ("time / bare interpreter", lambda ratio: f"{ratio:.1f}"),
}
PREFIXES = ((1e9, "G "), (1e6, "M "), (1e3, "k "))
UNITS = ((1e-6, 1e9, "ns"), (1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (float("inf"), 1.0, "s"))


def report(results: dict) -> str:
    """The tables of all suites, and the notes on them."""
    parts = []
    for suite in results["suites"]:
        cases = [case for case in results["cases"] if case["suite"] == suite]
        title = [f"**{TITLES[suite]}**", ""] if len(results["suites"]) > 1 else []
        parts.append("\n".join([*title, *_suite_table(cases)]))
    parts.append("\n".join(f"- {line}" for line in _footer(results)))
    if "comparison" in results:
        parts.append(_comparison(results["comparison"]))
    return "\n\n".join(parts)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table: text in the first column, figures in the others."""
    rule = "|".join(["---", *["---:"] * (len(heads) - 1)])
    return [f"| {' | '.join(heads)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]


def _suite_table(cases: Sequence[dict]) -> list[str]:
    is_rated = any(case["unit"] != "process" for case in cases)
    is_compiled = any(case.get("compile_seconds") is not None for case in cases)
    yardsticks = [name for name in YARDSTICKS if any(name in case.get("yardsticks", {}) for case in cases)]
    heads = ["case", "median", "minimum", "IQR", *(["rate"] if is_rated else [])]
    heads += [YARDSTICKS[name][0] for name in yardsticks] + (["compile"] if is_compiled else [])
    rows = []
    for case in cases:
        if not case["equal"]:
            rows.append([case["name"], "REFUSED", *["–"] * (len(heads) - 2)])
            continue
        cells = [case["name"], *_times(case), *([_rate(case)] if is_rated else [])]
        for name in yardsticks:
            measured = case["yardsticks"].get(name)
            cells.append("–" if measured is None else YARDSTICKS[name][1](measured["time_ratio"]))
        if is_compiled:
            compiled = case["compile_seconds"]
            cells.append("–" if compiled is None else f"{compiled:.1f} s")
        rows.append(cells)
    return table(heads, rows)


def _times(case: dict) -> list[str]:
    """Median, minimum and interquartile range of the time per unit, all in the same unit of time."""
    seconds = case["seconds"]
    median = seconds["median"] / case["units"]
    factor, name = next((factor, name) for below, factor, name in UNITS if median < below)
    spread = seconds["upper_quartile"] - seconds["lower_quartile"]
    figures = (f"{value / case['units'] * factor:.3g}" for value in (seconds["minimum"], spread))
    return [f"{median * factor:.3g} {name}/{case['unit']}", *figures]


def _rate(case: dict) -> str:
    rate = case["units_per_second"]
    factor, prefix = next((pair for pair in PREFIXES if rate >= pair[0]), (1.0, ""))
    return f"{rate / factor:.3g} {prefix}{case['unit']}s/s"


def _footer(results: dict) -> list[str]:
    machine, versions, source = results["machine"], results["versions"], results["source"]
    timed = [case for case in results["cases"] if case["equal"]]
    lines = [
        f"Medians of {results['repeats']} runs (fewer of an empty cache), cases and yardsticks in turns; ratios are "
        "medians over the rounds. Each case was first checked equal to its plain-Python oracle."
    ]
    lines += [f"REFUSED, since it is not equal to its oracle: {name}." for name in results["refused"]]
    for case in timed:
        if case.get("jobs", 1) > 1 and case["suite"] == "train":
            each = {**case, "units_per_second": case["units_per_second"] / case["jobs"]}
            lines.append(f"{case['name']}: {_rate(each)} on each of {case['jobs']} cores.")
    for case in timed:
        lines += [f"{case['name']}: {text}." for text in _facts(case, machine["cores"])]
    lines += [f"{note[0].upper()}{note[1:]}." for note in results["notes"]]
    if "vectorbt" in versions:
        lines.append("vectorbt: Portfolio.from_signals, value() and max_drawdown(), compiled before; the same equity.")
    if "train" in results["suites"]:
        lines += _yardstick_lines(results)
    compiled = [case["compile_seconds"] for case in timed if case["compile_seconds"] is not None]
    if compiled:
        lines.append(
            "Compile: once, into an empty cache; kernels that cases share count with the first. "
            f"Together {sum(compiled):.0f} s."
        )
    commit = "no checkout" if source is None else source["commit"][:12] + (", changed since" if source["dirty"] else "")
    names = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines.append(f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; {names}; {commit}.")
    return lines


def _facts(case: dict, cores: int) -> list[str]:
    """Further measurements of a case."""
    texts = []
    if "cpu_use" in case:
        texts.append(f"{case['cpu_use']:.0%} of {cores} cores busy")
    if "peak_bytes" in case:
        peaks = [f"{case[name] / 1e9:.2f} GB" for name in ("peak_bytes", "tables_peak_bytes") if name in case]
        texts.append("the most memory of a process of its own was " + ", with its tables written ".join(peaks))
    if "tables_seconds" in case:
        texts.append(f"with its tables written that process took {case['tables_seconds']:.1f} s")
    return texts


def _yardstick_lines(results: dict) -> list[str]:
    lines = []
    compiler, reference = results["compiler"], results["reference"]
    if compiler is not None and any("c" in case.get("yardsticks", {}) for case in results["cases"]):
        flags = " ".join(compiler["flags"])
        lines.append(
            f"C: the reference's training, and the default markets', in plain C, {compiler['version']}, {flags}; "
            "below 1 is faster than C."
        )
    if not reference["measured"]:
        documented = reference["documented_steps_per_second"]
        lines.append(
            "The reference idi_iann was not timed here (--reference); on one core of an AMD EPYC at 2.6 GHz it did "
            f"{documented:,} steps/s."
        )
    return lines


def _comparison(comparison: dict) -> str:
    rows = [[case["name"], f"{case['ratio']:.2f}"] for case in comparison["cases"]]
    lines = ["**Compared with the earlier run**: old time / new time, above 1 is faster now", ""]
    lines += table(["case", "old / new"], rows)
    for name, title in (("only_old", "Only in the earlier run"), ("only_new", "Only in this run")):
        if comparison[name]:
            lines += ["", f"{title}: {'; '.join(comparison[name])}."]
    if comparison["differences"]:
        lines += ["", f"NOT THE SAME MACHINE: {'; '.join(comparison['differences'])}."]
    return "\n".join(lines)
