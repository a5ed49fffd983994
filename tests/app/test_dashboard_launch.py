"""Launching the dashboard: which store, which port, what the server refuses, and that nothing outlives us."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from synthetic import make_store

from depthscope.app import dashboard, recorded
from depthscope.app.commands import dashboard as command
from depthscope.app.commands import demo
from depthscope.app.guard import Guard, host_name
from depthscope.app.recorded import recorded_store
from depthscope.store import NotAStore, RunInfo, StoreMissing, export_runs, open_run, open_store, run_table


@pytest.fixture
def store(tmp_path) -> Path:
    writer = open_run(tmp_path / "runs", RunInfo(run="a"))
    writer.close()
    return tmp_path / "runs"


@pytest.fixture
def taken_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


class TestPort:
    def test_a_taken_port_gives_the_next_free_one(self, taken_port):
        found = dashboard.free_port("127.0.0.1", taken_port)
        assert found > taken_port

    def test_a_free_port_is_taken(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        assert dashboard.free_port("127.0.0.1", port) == port

    def test_an_address_that_is_not_ours_is_one_line(self):
        with pytest.raises(dashboard.Unavailable, match=r"cannot listen on 192\.0\.2\.1: .+; try --host 127\.0\.0\.1"):
            dashboard.free_port("192.0.2.1", 8501)

    def test_a_name_that_does_not_exist_is_one_line(self):
        with pytest.raises(dashboard.Unavailable, match=r"cannot listen on no\.such\.host\.invalid"):
            dashboard.free_port("no.such.host.invalid", 8501)


class TestAddress:
    @pytest.mark.parametrize(
        ("host", "url"),
        [
            ("127.0.0.1", "http://127.0.0.1:8501"),
            ("0.0.0.0", "http://127.0.0.1:8501"),
            ("::1", "http://[::1]:8501"),
            ("localhost", "http://127.0.0.1:8501"),
        ],
    )
    def test_the_url_opens_here(self, host, url):
        assert dashboard.address(host, 8501) == url

    @pytest.mark.parametrize(
        ("host", "local"),
        [
            ("127.0.0.1", True),
            ("127.3.3.3", True),
            ("::1", True),
            ("localhost", True),
            ("0.0.0.0", False),
            ("10.0.0.1", False),
            ("example.com", False),
        ],
    )
    def test_what_only_this_machine_reaches(self, host, local):
        assert dashboard.is_loopback(host) is local

    def test_only_a_loopback_server_knows_its_names(self):
        assert dashboard.settings("127.0.0.1", 1)["server.allowedHosts"] == ["localhost", "127.0.0.1", "[::1]"]
        assert dashboard.settings("0.0.0.0", 1)["server.allowedHosts"] == []
        assert dashboard.settings("127.0.0.1", 1)["browser.gatherUsageStats"] is False


class TestChoice:
    def test_a_named_store_is_served(self, store):
        assert command.choose(store, list)[0] == store

    def test_a_named_store_that_is_missing_is_an_error(self, tmp_path):
        with pytest.raises(StoreMissing):
            command.choose(tmp_path / "nothing", lambda: pytest.fail("asked for the recorded runs"))

    def test_a_path_that_is_no_store_is_an_error(self, tmp_path):
        with pytest.raises(NotAStore):
            command.choose(tmp_path, list)

    def test_the_default_store_is_served_where_it_is(self, store, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("DEPTHSCOPE_STORE", raising=False)
        store.rename(tmp_path / "depthscope-runs")
        assert command.choose(None, list)[0].name == "depthscope-runs"

    def test_without_any_store_the_recorded_runs_are_served(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("DEPTHSCOPE_STORE", raising=False)
        monkeypatch.setattr(command, "recorded_store", lambda bundles: tmp_path / bundles[0])
        path, words = command.choose(None, lambda: [Path("bundle")])
        assert path == tmp_path / "bundle" and "There is no store at depthscope-runs yet" in words

    def test_without_recorded_runs_it_is_an_error(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(StoreMissing, match="depthscope demo"):
            recorded_store([])


class TestGuard:
    @pytest.mark.parametrize(
        ("headers", "host"),
        [
            ([(b"host", b"127.0.0.1:8501")], "127.0.0.1"),
            ([(b"host", b"LOCALHOST")], "localhost"),
            ([(b"host", b"[::1]:8501")], "[::1]"),
            ([(b"host", b"127.0.0.1"), (b"host", b"evil.example")], ""),
            ([], ""),
        ],
    )
    def test_the_host_is_read_without_its_port(self, headers, host):
        assert host_name({"headers": headers}) == host

    @pytest.mark.parametrize("kind", ["http", "websocket"])
    def test_a_foreign_host_never_reaches_the_app(self, kind):
        sent = talk(Guard(answer, ("127.0.0.1",)), kind, b"evil.example")
        assert sent[0].get("status", sent[0].get("code")) in (403, 1008)
        assert b"secret" not in b"".join(message.get("body", b"") for message in sent)

    def test_our_host_reaches_it_and_the_answer_carries_the_policy(self):
        sent = talk(Guard(answer, ("127.0.0.1",)), "http", b"127.0.0.1:8501")
        headers = dict(sent[0]["headers"])
        assert sent[1]["body"] == b"secret" and headers[b"x-frame-options"] == b"DENY"
        assert b"frame-ancestors 'none'" in headers[b"content-security-policy"]

    def test_without_names_any_host_is_answered(self):
        assert talk(Guard(answer, ()), "http", b"anything")[1]["body"] == b"secret"


async def answer(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"secret"})


def talk(guard: Guard, kind: str, host: bytes) -> list[dict]:
    """The messages that `guard` sends; it needs no event loop, for it never waits."""
    sent: list[dict] = []

    async def send(message):
        sent.append(message)

    coroutine = guard({"type": kind, "headers": [(b"host", host)]}, None, send)
    with pytest.raises(StopIteration):
        coroutine.send(None)
    return sent


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One real server, as the demo starts it; gives its port."""
    folder = tmp_path_factory.mktemp("served") / "runs"
    open_run(folder, RunInfo(run="a")).close()
    port = dashboard.free_port("127.0.0.1", 18501)
    url = dashboard.address("127.0.0.1", port)
    with dashboard.server_process(folder, "127.0.0.1", port) as child:
        wait_until(lambda: dashboard.is_up(url) or child.poll() is not None)
        assert child.poll() is None, "the server ended"
        yield port
    assert child.poll() is not None
    assert not dashboard.is_up(url)


class TestServer:
    def test_it_answers_with_the_policy(self, server):
        status, headers, body = get(server, "127.0.0.1")
        assert status == 200 and "default-src 'self'" in headers["content-security-policy"] and b"<html" in body

    def test_it_answers_no_foreign_host(self, server):
        assert get(server, "evil.example")[0] == 403

    def test_a_foreign_websocket_is_refused(self, server):
        assert upgrade(server, "evil.example") == 403
        assert upgrade(server, f"127.0.0.1:{server}") == 101

    def test_it_listens_on_loopback_only(self, server):
        listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
        local = [line.split()[1] for line in listening if line.split()[3] == "0A"]
        assert f"0100007F:{server:04X}" in local and f"00000000:{server:04X}" not in local


def get(port: int, host: str):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/", headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def upgrade(port: int, host: str) -> int:
    """The status of a WebSocket handshake."""
    request = (
        f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request.encode())
        return int(connection.recv(64).split()[1])


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process of our own, which does not outlive a failing test."""
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(true, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def test_a_killed_parent_leaves_no_server(store):
    """kill -9 of the demo: the server sees its stdin close, and ends."""
    port = dashboard.free_port("127.0.0.1", 18601)
    code = (
        "import sys, time; from pathlib import Path; from depthscope.app.dashboard import server_process\n"
        f"with server_process(Path({str(store)!r}), '127.0.0.1', {port}) as child:\n"
        "    print(child.pid, flush=True); time.sleep(600)"
    )
    with running("-c", code) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        wait_until(lambda: dashboard.is_up(f"http://127.0.0.1:{port}"))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    wait_until(lambda: not alive(child))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie that nobody has collected yet is dead.
    return not re.search(r"^State:\s+Z", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)


def test_the_command_announces_the_url_and_ends_cleanly_on_ctrl_c(store):
    port = dashboard.free_port("127.0.0.1", 18701)
    with running("-m", "depthscope.app", "dashboard", str(store), "--port", str(port)) as process:
        wait_until(lambda: dashboard.is_up(f"http://127.0.0.1:{port}") or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
    assert f"http://127.0.0.1:{port}" in errors and str(store) in errors
    assert "Traceback" not in errors and process.returncode in (0, 130) and "Streamlit" not in out


class TestDemo:
    def test_strategies_are_checked_before_anything_starts(self):
        with pytest.raises(ValueError, match="expected strategies among pre, post; got nope"):
            demo.chosen_strategies("pre,nope", ["pre", "post"])
        with pytest.raises(ValueError, match="got none"):
            demo.chosen_strategies(" , ", ["pre"])

    def test_names_are_cleaned_and_not_repeated(self):
        assert demo.chosen_strategies(" pre, post,pre,", ["pre", "post"]) == ["pre", "post"]

    def test_without_a_dashboard_nothing_is_served(self, tmp_path, monkeypatch):
        monkeypatch.setattr(demo, "served", lambda *_: pytest.fail("served"))
        assert demo.beside_dashboard(lambda console: 1, tmp_path, dashboard=False) == 1

    @pytest.mark.parametrize(("status", "waits"), [(0, True), (1, True), (130, False)])
    def test_the_dashboard_stays_up_unless_interrupted(self, tmp_path, monkeypatch, status, waits):
        waited = []
        monkeypatch.setattr(demo, "wait", waited.append)
        monkeypatch.setattr(demo, "server_process", FakeServer)
        assert demo.beside_dashboard(lambda console: status, tmp_path, dashboard=True) == status
        assert bool(waited) is waits

    def test_a_folder_that_is_no_store_is_refused_first(self, tmp_path, monkeypatch):
        (tmp_path / "thesis.tex").touch()
        monkeypatch.setattr(demo, "served", lambda *_: pytest.fail("served"))
        with pytest.raises(NotAStore):
            demo.beside_dashboard(lambda console: pytest.fail("trained"), tmp_path, dashboard=True)

    def test_ctrl_c_while_training_leaves_a_readable_store_and_no_server(self, tmp_path):
        arguments = [
            "demo",
            "--strategies",
            "pre",
            "--layers",
            "2",
            "--steps",
            "100000",
            "--store",
            str(tmp_path / "s"),
        ]
        command = [sys.executable, "-m", "depthscope.app", *arguments]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: trained(tmp_path / "s") or process.poll() is not None, 120)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        url = re.search(r"http://127\.0\.0\.1:\d+", errors)
        assert process.returncode == 130 and "Traceback" not in errors and url and not dashboard.is_up(url[0])
        assert trained(tmp_path / "s") > 0


def trained(store: Path) -> int:
    """Number of steps in a store; 0 while there is none."""
    try:
        return len(open_store(store).steps())
    except (StoreMissing, NotAStore):  # not yet, or only its folder
        return 0


class TestRecorded:
    @pytest.fixture
    def bundles(self, tmp_path, monkeypatch):
        """Two bundles, and a cache folder of their own."""
        monkeypatch.setattr(recorded.platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
        store = make_store(tmp_path / "made", ["pre", "post"], layers=2, steps=2)
        for run in ("pre-0", "post-1"):
            export_runs(store, [run], tmp_path / "bundles" / run)
        return sorted((tmp_path / "bundles").iterdir())

    def test_bundles_become_a_store_once(self, bundles):
        store = recorded_store(bundles)
        assert set(run_table(open_store(store))["run"]) == {"pre-0", "post-1"}
        made = (store / "depthscope.duckdb").stat().st_mtime_ns
        assert recorded_store(bundles) == store and (store / "depthscope.duckdb").stat().st_mtime_ns == made
        assert [path.name for path in store.parent.iterdir()] == [store.name]

    def test_other_bundles_are_another_store(self, bundles):
        assert recorded_store(bundles) != recorded_store(bundles[:1])

    def test_whoever_is_second_takes_what_is_there(self, bundles, monkeypatch):
        """Two dashboards start at once: the other one finishes while we build."""
        finished = recorded_store(bundles)
        shown = iter([False])
        is_dir = Path.is_dir
        monkeypatch.setattr(Path, "is_dir", lambda self: next(shown, True) if self == finished else is_dir(self))
        assert recorded_store(bundles) == finished
        assert [path.name for path in finished.parent.iterdir()] == [finished.name]

    def test_a_cache_that_cannot_be_written_is_no_obstacle(self, bundles, monkeypatch, tmp_path):
        monkeypatch.setattr(recorded.platformdirs, "user_cache_dir", lambda *_, **__: "/proc/nowhere")
        monkeypatch.setattr(recorded.tempfile, "tempdir", str(tmp_path))
        assert len(run_table(open_store(recorded_store(bundles)))) == 2


class FakeServer:
    """Stands in for `server_process`: a child that has ended."""

    returncode = -15

    def __init__(self, store, host, port) -> None:
        self.store = store

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.store = None

    def poll(self) -> int:
        return self.returncode
