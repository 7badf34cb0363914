"""A lab without a browser: its routes, and the callbacks of its pages."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from idi_fast.lab.server import Lab


class Pages:
    """What a browser would see of a lab that it has opened."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.base = f"http://127.0.0.1:{lab.guard.port}"
        self.client = lab.app.server.test_client()
        self.get(f"/?token={lab.guard.token}")
        self._callbacks = self.get("/_dash-dependencies").json

    def get(self, path: str, **options: Any):
        """The answer to a request."""
        return self.client.get(path, base_url=self.base, buffered=True, **options)

    def call(self, output: str, values: dict[str, Any], changed: str | None = None) -> dict[str, Any]:
        """What the callback of an output, as `moments.children`, gives for inputs and states by such names.

        changed: the input that has changed, by default the first one.
        """
        specs = [one for one in self._callbacks if not one["clientside_function"]]
        spec = next(one for one in specs if output in _outputs(one["output"]))
        sources, count = (*spec["inputs"], *spec["state"]), len(spec["inputs"])
        names = [f"{one['id']}.{one['property']}" for one in sources]
        given = [{**one, "value": values.get(name)} for one, name in zip(sources, names, strict=True)]
        outputs = [name.rsplit(".", 1) for name in _outputs(spec["output"])]
        body = {
            "output": spec["output"],
            "outputs": [{"id": name, "property": key} for name, key in outputs],
            "inputs": given[:count],
            "state": given[count:],
            "changedPropIds": [changed or names[0]],
        }
        answer = self.client.post("/_dash-update-component", base_url=self.base, json=body)
        if answer.status_code == 204:
            return {}
        assert answer.status_code == 200, answer.text
        found = answer.json["response"]
        return {f"{name}.{key}": value for name, properties in found.items() for key, value in properties.items()}


def _outputs(text: str) -> list[str]:
    names = text.strip(".").split("...") if text.startswith("..") else [text]
    return [name.split("@")[0] for name in names]


@contextmanager
def opened(folder: Path) -> Iterator[Pages]:
    """A lab of a folder, opened."""
    with Lab(folder) as lab:
        yield Pages(lab)


def texts(component: Any) -> list[str]:
    """All texts in a component, as JSON has it."""
    if isinstance(component, dict):
        return texts(component.get("props", {}).get("children"))
    if isinstance(component, list):
        return [text for part in component for text in texts(part)]
    return [] if component is None else [str(component)]


def shown(component: Any) -> str:
    """The same as one text."""
    return " ".join(texts(component))


def digit(name: str) -> str:
    """The id of the field of a state's digit."""
    return json.dumps({"digit": name}, separators=(",", ":"))
