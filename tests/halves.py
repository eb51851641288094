"""The whole test run on two processors: a second process runs every other file, and what came of it is told here.

Only the plain run of everything is divided. Whoever names files, tests or a marker, stops at the first failure or
debugs has one process, as has a machine with one processor.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

OTHER = "MINILQ_TESTS_REPORTS"
ALONE = ("keyword", "maxfail", "usepdb", "collectonly", "lf", "failedfirst", "stepwise", "deselect", "ignore")


def half_of(config):
    """The plugin of this run: of the first process, of the second, or none."""
    reports = os.environ.pop(OTHER, None)                    # not for what the tests themselves start
    if reports is not None:
        return Second(config, Path(reports))
    option = config.option
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and option.markexpr == "not deep"
    alone = option.capture == "no" or any(getattr(option, name, None) for name in ALONE)
    return First(config) if whole and not alone and processors() > 1 else None


def processors():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def kept(items, first):
    """Of the items those of every other file, from the first or the second on; how many there are beside them."""
    files = list(dict.fromkeys(item.path for item in items))[0 if first else 1::2]
    before, items[:] = len(items), [item for item in items if item.path in files]
    return before - len(items)


class Second:
    """Runs its half, and writes a line for each report."""

    def __init__(self, config, reports):
        self.config, self.reports = config, reports.open("a", encoding="utf-8")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        kept(items, first=False)

    def pytest_runtest_logreport(self, report):
        data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
        self.reports.write(json.dumps(data, default=str) + "\n")
        self.reports.flush()


class First:
    """Runs the other half, and counts and shows what the second process reports."""

    def __init__(self, config):
        self.config, self.others = config, 0

    def pytest_sessionstart(self):
        self.folder = tempfile.TemporaryDirectory()
        self.reports, self.output = (Path(self.folder.name) / name for name in ("reports", "output"))
        self.reports.touch()
        command = [sys.executable, "-m", "pytest", *self.config.invocation_params.args, "-p", "no:cacheprovider"]
        with self.output.open("w") as output:
            self.second = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT,
                                           cwd=self.config.rootpath, env={**os.environ, OTHER: str(self.reports)})

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        self.others = kept(items, first=True)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session):
        session.testscollected += self.others
        result = yield
        ended = sum(self.told(data) for data in self.lines())
        code, text = self.second.returncode, self.output.read_text(errors="replace")
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or ended != self.others:
            pytest.exit(f"the second process ended with {code} after {ended} of {self.others} tests:\n{text[-5000:]}",
                        pytest.ExitCode.INTERNAL_ERROR)
        return result

    def lines(self):
        """What the second process has written, and what it still writes."""
        with self.reports.open(encoding="utf-8") as file:
            begun = ""
            while True:
                ended = self.second.poll() is not None
                for line in file:
                    begun += line
                    if line.endswith("\n"):
                        yield json.loads(begun)
                        begun = ""
                if ended:
                    return
                time.sleep(0.05)

    def told(self, data):
        """Shows and counts a report as one of this process; whether it was the last one of its test."""
        hook = self.config.hook
        report = hook.pytest_report_from_serializable(config=self.config, data=data)
        where = {"nodeid": report.nodeid, "location": report.location}
        if report.when == "setup":
            hook.pytest_runtest_logstart(**where)
        hook.pytest_runtest_logreport(report=report)
        if report.when == "teardown":
            hook.pytest_runtest_logfinish(**where)
        return report.when == "teardown"

    def pytest_sessionfinish(self):
        if self.second.poll() is None:
            self.second.terminate()
            self.second.wait()
        self.folder.cleanup()
