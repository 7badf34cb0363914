"""Nobody but the browser that knows the token uses the lab, and nothing outside its folder is read or written."""

import os
import shutil
import socket

import cli_helpers as cli
import pytest

pytest.importorskip("dash", reason="the extra `lab` is not installed")

from lab_pages import opened

import idi_fast as idi
from idi_fast.errors import InputError
from idi_fast.lab.server import Lab
from idi_fast.lab.workspace import Workspace

PATHS = ("/", "/_dash-layout", "/_dash-dependencies", "/report?run=agent", "/assets/lab.js")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run, a price history, and links out of it; beside it what must stay unseen."""
    home = tmp_path_factory.mktemp("home")
    inside, outside = home / "inside", home / "outside"
    inside.mkdir()
    outside.mkdir()
    idi.train({"episodes": 4}).save(inside / "agent")
    cli.bars().write_parquet(inside / "bars.parquet")
    shutil.copytree(inside / "agent", outside / "agent")
    shutil.copy(inside / "bars.parquet", outside / "bars.parquet")
    cli.link(inside / "linked", outside / "agent")
    cli.link(inside / "linked.parquet", outside / "bars.parquet")
    cli.link(inside / "linked_folder", outside)
    shutil.copytree(inside / "agent", inside / "sly")
    (inside / "sly" / "policy.parquet").unlink()
    cli.link(inside / "sly" / "policy.parquet", outside / "agent" / "policy.parquet")
    (inside / "bars[1].csv").write_text("close\n1\n2\n")
    return inside


@pytest.fixture(scope="module")
def pages(folder):
    with opened(folder) as found:
        yield found


@pytest.mark.parametrize("path", PATHS)
def test_without_the_token_nothing_is_answered(pages, path):
    stranger = pages.lab.app.server.test_client()
    for query in ("", "?token=", "?token=wrong", f"?token={pages.lab.guard.token[:-1]}", "?token=ä"):
        answer = stranger.get(path.split("?")[0] + query, base_url=pages.base)
        assert (answer.status_code, answer.text[:8]) == (403, "refused:")
    stranger.set_cookie(pages.lab.guard.cookie, "wrong", domain="127.0.0.1")
    assert stranger.get(path, base_url=pages.base).status_code == 403
    assert stranger.post("/_dash-update-component", base_url=pages.base, json={}).status_code == 403
    assert pages.get(path).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example", "[::1]"])
def test_another_host_is_refused_even_with_the_token(pages, host):
    for path in PATHS:
        answer = pages.client.get(path, base_url=pages.base, headers={"Host": host})
        assert answer.status_code == 403
    token = f"/?token={pages.lab.guard.token}"
    assert pages.client.get(token, base_url=pages.base, headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null", "http://127.0.0.1"])
def test_another_origin_is_refused_even_with_the_token(pages, origin):
    body = {"output": "x", "inputs": [], "changedPropIds": []}
    answer = pages.client.post("/_dash-update-component", base_url=pages.base, json=body, headers={"Origin": origin})
    assert answer.status_code == 403


def test_the_token_becomes_a_cookie_that_no_script_and_no_other_site_has(pages):
    stranger = pages.lab.app.server.test_client()
    answer = stranger.get(f"/?token={pages.lab.guard.token}", base_url=pages.base)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    cookie = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
    assert stranger.get("/", base_url=pages.base).status_code == 200
    assert len(pages.lab.guard.token) >= 43  # 256 bits
    with Lab(pages.lab.workspace.root) as other:
        assert other.guard.token != pages.lab.guard.token


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_scripts_but_its_own(pages):
    answer = pages.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "script-src 'self' 'sha256-" in policy
    assert "unsafe-eval" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "://" not in answer.text.replace("http://www.w3.org", "").split("<body>")[0]
    report = pages.get("/report?run=agent")
    assert report.headers["Content-Security-Policy"].startswith(
        "sandbox allow-scripts allow-downloads; default-src 'none'"
    )


def test_it_listens_on_this_machine_only(pages):
    assert pages.lab._server.server_address[0] == "127.0.0.1"
    assert pages.lab.address.startswith(f"http://127.0.0.1:{pages.lab.guard.port}/?token=")


OUTSIDE = (
    "../outside/agent",
    "linked",
    "linked_folder/agent",
    "sly",
    "/etc",
    "agent/../../outside/agent",
    "./agent",
    "agent//",
    "",
    "..",
    "C:agent",
    "..\\outside",
    "agent\0",
    "nothing",
)


@pytest.mark.parametrize("name", OUTSIDE)
def test_runs_outside_are_not_shown(pages, folder, name):
    with pytest.raises(InputError):
        pages.lab.workspace.run(name)
    answer = pages.get("/report", query_string={"run": name})
    assert (answer.status_code, "outside/agent" in answer.text.replace(name, "")) == (404, False)
    told = pages.call("policy-problem.children", {"policy-one.value": name or "?"})
    assert told["policy-problem.children"] is not None
    assert told["digits.children"] is None


@pytest.mark.parametrize(
    "name", ["linked.parquet", "../outside/bars.parquet", "/etc/passwd", "*.parquet", "agent/run.json"]
)
def test_histories_outside_are_not_read(pages, name):
    with pytest.raises(InputError):
        pages.lab.workspace.history(name)


def test_only_what_is_in_the_folder_is_offered(pages):
    assert pages.lab.workspace.histories() == ["bars.parquet"]
    assert [run.name for run in pages.lab.workspace.runs().runs] == ["agent", "sly"]


@pytest.mark.parametrize(
    "name", ["", "..", "../new", "a/b", ".hidden", "agent", "linked", "-x", "n" * 65, "a.", "a b", "ä", None]
)
def test_no_run_is_made_elsewhere_or_over_another(folder, name):
    before = cli.snapshot(folder.parent)
    with pytest.raises(InputError):
        Workspace(folder).new_run(name)
    assert cli.snapshot(folder.parent) == before


def test_a_lab_needs_a_folder_and_a_port(tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        Lab(tmp_path / "nowhere")
    for port, message in ((-1, "port is -1"), (65_536, "at most 65535")):
        with pytest.raises(InputError, match=message):
            Lab(tmp_path, port)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {number} of 127.0.0.1 cannot be used"):
            Lab(tmp_path, number)


def test_without_dash_the_extra_is_named(tmp_path):
    code = "import sys; sys.modules['dash'] = None; from idi_fast.cli import main; main()"
    outcome = cli.finish(cli.start("lab", tmp_path, code=code))
    assert outcome.status == 2
    assert outcome.stderr == "error: the lab needs Dash; install it with: pip install 'idi-fast[lab]'\n"
    assert os.listdir(tmp_path) == []
