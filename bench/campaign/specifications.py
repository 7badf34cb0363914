"""Mutated Tau specifications and input files through `tau check`, `--fix` and `tau run`."""

import random
import re
from pathlib import Path

from idi_fast.bench.campaign import mutate
from idi_fast.bench.campaign.trial import OK, WRONG, Trial, describe, difference, expect, tree, verdict_on
from idi_fast.bench.campaign.world import World, remove

TEXTS = (
    # Mirrored inputs, all values at time 0 fixed.
    """i_buy:sbf := in file("inputs/buy.in").
i_sell:sbf := in file("inputs/sell.in").
o_holding:sbf := out file("outputs/holding.out").
o_buy:sbf := out file("outputs/buy.out").
o_sell:sbf := out file("outputs/sell.out").
(o_holding[t] = i_buy[t] | (i_sell[t]' & o_holding[t-1])) && (o_buy[t] = i_buy[t]) && (o_sell[t] = i_sell[t]) """
    """&& (o_holding[0] = i_buy[0]) && (o_buy[0] = i_buy[0]) && (o_sell[0] = i_sell[0])
""",
    # Not mirrored: inputs are read only when they matter.
    """i1:sbf := in file("inputs/buy.in").
i2:sbf := in file("inputs/sell.in").
o1:sbf := out file("outputs/holding.out").
(o1[t] = i1[t] | (i2[t]' & o1[t-1]))
""",
    """i1:bv[5] := in file("inputs/regime.in").
i2:sbf := in file("inputs/buy.in").
o1:bv[5] := out file("outputs/regime.out").
o2:sbf := out file("outputs/late.out").
(o1[t] = i1[t] & { #b10110 }:bv[5]) && (o2[t] = i2[t-2] ^ i2[t])
""",
)
WORDS = (
    "i1",
    "o1",
    "o2[t]",
    "i2[t-1]",
    "o1[t-64]",
    "o1[t-65]",
    "o1[0]",
    "i1[3]",
    "o1[t+1]",
    "&",
    "|",
    "^",
    "'",
    "&&",
    "||",
    "=",
    "!=",
    "(",
    ")",
    ":=",
    ".",
    "sbf",
    "bv[5]",
    "bv[0]",
    "bv[33]",
    "tau",
    "0",
    "1",
    "{ 31 }:bv[5]",
    "{ #xff }",
    "T",
    "F",
    "always",
    "ex x",
    "->",
    "r",
    "run",
    'in file("inputs/buy.in")',
    'out file("/dev/null")',
    "console",
    "#",
    "é",
    "\0",
    'in file("../../secret")',
    'out file("outputs/buy.out")',
    "(" * 3000,
    "&& (o1[t] = i1[t])" * 300,
    "9" * 5000,
)
LINES = (
    "0",
    "1",
    "2",
    "",
    " 1 ",
    "01",
    "-1",
    "1.0",
    "true",
    "T",
    "x'",
    "31",
    "32",
    "#x1f",
    "#b1",
    "\t",
    "é",
    "\0",
    "# no",
    "9" * 4000,
)
TOKEN = re.compile(r"\w+|\s+|:=|&&|.", re.DOTALL)
COMMANDS = {
    "check": ("tau", "check", "spec"),
    "check --json": ("tau", "check", "spec", "--json"),
    "fix": ("tau", "check", "spec", "--fix", "fixed"),
    "fix in place": ("tau", "check", "spec", "--fix", "spec", "--force"),
    "run": ("tau", "run", "spec"),
    "run unchecked": ("tau", "run", "spec", "--no-check", "--json"),
}


def attempt(world: World, rng: random.Random, trial: Trial) -> str:
    """One mutated folder through one command; a specification that `--fix` calls sound is checked again."""
    trial.kind = rng.choice(sorted(COMMANDS))
    folder = world.sandbox()
    trial.what = _make(world, rng, folder / "spec")
    before = tree(folder)
    outcome = world.worker.run(*COMMANDS[trial.kind], cwd=folder)
    verdict = verdict_on(outcome, silent_failure=True)
    changed = difference(tree(folder), before)
    if trial.kind.startswith("check"):
        expect(not changed, WRONG, f"a check wrote something: {changed}")
    elif trial.kind.startswith("fix") and verdict == OK:
        name = "fixed" if trial.kind == "fix" else "spec"
        if trial.kind == "fix":
            expect(not difference(tree(folder / "spec"), _below(before, "spec")), WRONG, "--fix OUT changed the folder")
        after = world.worker.run("tau", "check", name, cwd=folder)
        expect(verdict_on(after, silent_failure=True) == OK, WRONG, f"what --fix wrote has errors: {describe(after)}")
    elif verdict != OK:
        only_outputs = all(name.startswith("spec/outputs") for name in set(tree(folder)) ^ set(before))
        expect(
            not changed
            or (trial.kind.startswith("run") and only_outputs)
            or trial.kind == "fix in place"
            or not difference(_below(tree(folder), "spec"), _below(before, "spec")),
            WRONG,
            f"{verdict}, and yet {changed}: {describe(outcome)}",
        )
    return verdict


def _make(world: World, rng: random.Random, spec: Path) -> str:
    """Write a folder that is damaged in one or two ways; what they are."""
    (spec / "inputs").mkdir(parents=True)
    (spec / "outputs").mkdir()
    if rng.random() < 0.2:
        made = world.need("spec")
        text, inputs = (made / "agent.tau").read_text(), {p.name: p.read_text() for p in (made / "inputs").iterdir()}
    else:
        text = rng.choice(TEXTS)
        lines = {name: [str(rng.randrange(2)) for _ in range(90)] for name in ("buy.in", "sell.in")}
        lines["regime.in"] = [str(rng.randrange(32)) for _ in range(90)]
        inputs = {name: "".join(f"{line}\n" for line in each) for name, each in lines.items()}
    for name, content in inputs.items():
        (spec / "inputs" / name).write_text(content)
    (spec / "agent.tau").write_text(text)
    return "; ".join(_damage(rng, spec) for _ in range(rng.choice((1, 1, 2, 3))))


def _damage(rng: random.Random, spec: Path) -> str:
    agent = spec / "agent.tau"
    path = rng.choice(sorted((spec / "inputs").glob("*.in")) or [agent])
    kind = rng.choice(("tokens", "tokens", "tokens", "tokens", "text", "lines", "lines", "input", "folder"))
    if not agent.is_file() or (kind in ("lines", "input") and not path.is_file()):
        return "nothing"
    if kind == "tokens":
        data, how = _tokens(rng, agent.read_bytes())
        agent.write_bytes(data)
        return how
    if kind == "text":
        data, how = mutate.of_bytes(rng, agent.read_bytes()) if rng.random() < 0.5 else _text(rng, agent.read_bytes())
        agent.write_bytes(data)
        return how
    if kind == "lines":
        lines = path.read_bytes().split(b"\n")
        line, at = rng.choice(LINES), rng.randrange(len(lines))
        lines[at : at + rng.randrange(2)] = [line.encode()]
        path.write_bytes(b"\n".join(lines))
        return f"line {at + 1} of {path.name} is {line[:20]!r}"
    if kind == "input":
        data, how = _text(rng, path.read_bytes())
        path.write_bytes(data)
        return f"{path.name}: {how}"
    return _folder(rng, spec, path)


def _tokens(rng: random.Random, data: bytes) -> tuple[bytes, str]:
    tokens = TOKEN.findall(data.decode("utf-8", "replace"))
    solid = [k for k, token in enumerate(tokens) if not token.isspace()]
    if not solid:
        return data, "nothing"
    at, other = rng.choice(solid), rng.choice(solid)
    kind = rng.choice(("gone", "twice", "swapped", "replaced", "replaced", "inserted", "digit"))
    what = f"token {at} ({tokens[at]!r}) {kind}"
    if kind == "gone":
        del tokens[at]
    elif kind == "twice":
        tokens.insert(at, tokens[at])
    elif kind == "swapped":
        tokens[at], tokens[other] = tokens[other], tokens[at]
    elif kind == "digit":
        tokens[at] = re.sub(r"\d", lambda _: str(rng.randrange(10)), tokens[at])
    else:
        word = rng.choice((rng.choice(WORDS), tokens[other]))
        tokens[at : at + (kind == "replaced")] = [f" {word} "]
        what = f"{what}: {word[:30]!r}"
    return "".join(tokens).encode("utf-8", "surrogatepass"), what


def _text(rng: random.Random, data: bytes) -> tuple[bytes, str]:
    try:
        return mutate.of_text(rng, data)
    except UnicodeDecodeError:
        return mutate.of_bytes(rng, data)


def _folder(rng: random.Random, spec: Path, path: Path) -> str:
    kind = rng.choice(
        ("no outputs", "outputs is a file", "input gone", "input is a folder", "second spec", "no spec", "link")
    )
    if kind in ("no outputs", "outputs is a file"):
        remove(spec / "outputs")
        if kind == "outputs is a file" and not (spec / "outputs").exists():
            (spec / "outputs").write_text("no folder")
    elif kind == "second spec":
        (spec / "other.tau").write_text("tau")
    elif path.is_file():
        target = spec / "agent.tau" if kind == "no spec" else path
        target.unlink()
        if kind == "input is a folder":
            target.mkdir()
        elif kind == "link":
            target.symlink_to(rng.choice(("/dev/zero", "/etc/passwd", target.name)))
    return kind


def _below(found: dict[str, bytes | None], name: str) -> dict[str, bytes | None]:
    return {path.removeprefix(f"{name}/"): data for path, data in found.items() if path.startswith(f"{name}/")}
