"""Following a training: what is told, when it ends, and messages to a webhook."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from depthscope.app import cli
from depthscope.app.commands.follow import BETWEEN_ALERTS, BadWebhook, Look, Webhook, follow
from depthscope.app.findings import Evidence, Finding
from depthscope.store import LayerStats, RunInfo, Step, open_run


def finding(name: str = "nonfinite", severity: str = "critical", run: str = "a") -> Finding:
    where = Evidence(run, "nonfinite", "mlp_out", "train")
    return Finding(name, name, severity, f"{name} of {run}.", where, "rule", "source", "high", "advice")


class Watched:
    """Looks that were prepared, and what was told of them."""

    def __init__(self, *looks: Look | None) -> None:
        self.looks, self.told, self.slept = list(looks), [], 0

    def look(self) -> Look | None:
        return self.looks.pop(0)

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept += 1
        if not self.looks:
            raise KeyboardInterrupt

    def run(self, webhook: Webhook | None = None):
        return follow(self.look, lambda new: self.told.append([each.name for each in new]), webhook, self.sleep)


class TestFollow:
    def test_only_what_is_new_is_told_and_it_ends_with_the_runs(self):
        first, second = finding("spike", "warning"), finding("nonfinite")
        watched = Watched(
            None, Look({"a": [first]}, True), Look({"a": [first]}, True), Look({"a": [second, first]}, False)
        )
        found, interrupted = watched.run()
        assert watched.told == [["spike"], ["nonfinite"]] and watched.slept == 3
        assert found == {"a": [second, first]} and not interrupted

    def test_what_gets_worse_is_told_again_and_what_is_fine_never(self):
        looks = [Look({"a": [finding("x", severity)]}, True) for severity in ("ok", "info", "warning", "info")]
        watched = Watched(*looks)
        assert watched.run()[1], "Ctrl-C"
        assert watched.told == [["x"], ["x"]]

    def test_the_same_finding_of_another_run_is_new(self):
        watched = Watched(Look({"a": [finding()], "b": [finding(run="b")]}, False))
        watched.run()
        assert watched.told == [["nonfinite", "nonfinite"]]


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict], list[int]]]:
    """A webhook: its address, the messages it got, and the statuses it will answer with (200 when none are left)."""
    got: list[dict] = []
    answers: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(answers.pop(0) if answers else 200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    web = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{web.server_port}/hook/secret", got, answers
    web.shutdown()
    thread.join()
    web.server_close()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class TestWebhook:
    def test_one_message_a_minute_holds_all_that_was_found_meanwhile(self, server):
        url, got, _ = server
        clock, failures = Clock(), []
        webhook = Webhook(url, failures.append, clock)
        webhook.offer([finding("a"), finding("b", "info")])
        webhook.offer([finding("c")])
        webhook.offer([finding("d", "warning")])
        assert [[each["name"] for each in message["findings"]] for message in got] == [["a"]]
        clock.now = BETWEEN_ALERTS
        webhook.offer([])
        assert [each["name"] for each in got[1]["findings"]] == ["c", "d"]
        assert got[1]["text"] == "critical: a: c of a.\nwarning: a: d of a." and not failures

    def test_what_waits_at_the_end_is_sent(self, server):
        url, got, _ = server
        watched = Watched(Look({"a": [finding("a")]}, True), Look({"a": [finding("a"), finding("b")]}, False))
        watched.run(Webhook(url, print, Clock()))
        assert [[each["name"] for each in message["findings"]] for message in got] == [["a"], ["b"]]

    def test_a_failure_is_one_line_without_the_secret_and_is_tried_again(self, server):
        url, got, answers = server
        answers.append(500)
        clock, failures = Clock(), []
        webhook = Webhook(url, failures.append, clock)
        webhook.offer([finding("a")])
        assert len(failures) == 1 and "127.0.0.1" in failures[0] and "secret" not in failures[0]
        clock.now = BETWEEN_ALERTS
        webhook.offer([])
        assert len(got) == 2 and len(failures) == 1

    @pytest.mark.parametrize("url", ["ftp://x/y", "x", "file:///etc/passwd", "https:///path"])
    def test_other_addresses_are_refused(self, url):
        with pytest.raises(BadWebhook, match="expected a webhook like https://host/path"):
            Webhook(url, print)


class TestCommand:
    @pytest.fixture
    def command(self, tmp_path, monkeypatch, capsys):
        """depthscope diagnose ... -> exit status, output, errors; sleeping runs `meanwhile` once, then is Ctrl-C."""
        meanwhile = []

        def sleep(seconds: float) -> None:
            if not meanwhile:
                raise KeyboardInterrupt
            meanwhile.pop(0)()

        monkeypatch.setattr("depthscope.app.commands.follow.follow.__defaults__", (None, sleep))
        monkeypatch.setattr("depthscope.store.spool.start_ingest", lambda *arguments: None)

        def run(*arguments: str) -> tuple[int, str, str]:
            with pytest.raises(SystemExit) as ended:
                cli.main(["diagnose", str(tmp_path / "runs"), *arguments])
            out, err = capsys.readouterr()
            return int(ended.value.code or 0), out, err

        return run, meanwhile, tmp_path / "runs"

    def train(self, store, bad: bool, status: str = "finished"):
        writer = open_run(store, RunInfo("a"))
        writer.write(Step(0, 1.0, loss=2.0, sampled=True))
        writer.write(LayerStats(0, "train", "main", 1, "mlp_out", {"nonfinite": 4.0 if bad else 0.0}))
        writer.close(status)

    def test_it_waits_for_the_store_and_ends_with_the_run(self, command):
        run, meanwhile, store = command
        meanwhile.append(lambda: self.train(store, bad=True))
        status, out, err = run("--follow")
        assert status == 3 and "Waiting: expected a store at" in err
        assert "Non-finite values start in the activation of layer 1" in out and "1 run: 1 critical." in out

    def test_json_is_one_line_a_finding(self, command):
        run, _, store = command
        self.train(store, bad=True)
        status, out, err = run("--follow", "--json")
        lines = [json.loads(line) for line in out.splitlines()]
        assert status == 3 and [line["name"] for line in lines if line["severity"] == "critical"] == ["nonfinite"]
        assert "1 run: 1 critical." in err

    def test_ctrl_c_prints_a_summary(self, command):
        run, _, store = command
        writer = open_run(store, RunInfo("a"))
        writer.write(Step(0, 1.0, loss=2.0, sampled=True))
        try:
            status, out, _ = run("--follow")
        finally:
            writer.close()
        assert status == 130 and "1 run: nothing to worry about." in out

    def test_a_webhook_needs_follow_and_an_address(self, command):
        run, _, store = command
        self.train(store, bad=False)
        assert run("--webhook", "https://x/y")[::2] == (
            2,
            "depthscope: expected --webhook together with --follow; got --webhook alone; add --follow\n",
        )
        assert run("--follow", "--webhook", "x")[0] == 2

    def test_thresholds_come_from_a_file(self, command, tmp_path):
        run, _, store = command
        self.train(store, bad=False)
        (tmp_path / "t.toml").write_text("growth_flt = 3")
        status, _, err = run("--thresholds", str(tmp_path / "t.toml"))
        assert status == 2 and "did you mean growth_flat?" in err and err.count("\n") == 1
        (tmp_path / "t.toml").write_text("growth_flat = 3")
        assert run("--thresholds", str(tmp_path / "t.toml"))[0] == 0
