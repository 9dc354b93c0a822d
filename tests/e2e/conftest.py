"""What the tests share: clips, a Penstock, and a studio of encoders and players."""
import sys

import pytest

import media
import processes


def pytest_configure(config):
    config.addinivalue_line("markers", "smoke: the short selection, which sanitizer builds run too")
    config.addinivalue_line("markers", "measures: compares rates or times, so that a busy machine fails it: not in tools/test")


def pytest_sessionstart(session):
    missing = [name for name in ("penstockd", "penstock-control", "penstockctl")
               if not (processes.PROGRAMS / name).exists()]
    if missing:
        pytest.exit(f"{', '.join(missing)} not in {processes.PROGRAMS}: run tools/build", returncode=3)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Keeps the outcome for the fixtures, and adds the logs to a failure."""
    outcome = yield
    report = outcome.get_result()
    setattr(item, "outcome_" + report.when, report)
    if report.when == "call" and report.failed:
        for value in item.funcargs.values():
            if isinstance(value, processes.Penstock):
                report.sections.append(("logs of Penstock", value.logs()))
            if isinstance(value, media.Studio):
                for run in value.runs:
                    report.sections.append((" ".join(map(str, run.child.args))[-300:], run.output()[-2000:]))


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """Three seconds of H.264 with B-frames and AAC."""
    return media.make_clip(tmp_path_factory.mktemp("clips") / "clip.flv")


@pytest.fixture(scope="session")
def other_clip(tmp_path_factory):
    """Other content, to tell two publishers apart."""
    return media.make_clip(tmp_path_factory.mktemp("clips") / "other.flv", size="352x288", rate=48000)


@pytest.fixture
def studio(tmp_path):
    made = media.Studio(tmp_path)
    yield made
    made.end_all()


def end(penstock):
    try:
        problems = penstock.stop()
    finally:
        penstock.abandon()
    if problems:
        print(penstock.logs(), file=sys.stderr)
    assert not problems, "; ".join(problems)


@pytest.fixture(scope="module")
def penstock(tmp_path_factory):
    """One for all tests of a file; they use different stream names and leave the processes alive."""
    made = processes.Penstock(tmp_path_factory.mktemp("penstock"))
    try:
        made.start()
    except BaseException:
        print(made.logs(), file=sys.stderr)
        made.abandon()
        raise
    yield made
    end(made)


@pytest.fixture
def make_penstock(tmp_path_factory):
    """For tests that configure or kill: each call gives one that is not started yet."""
    all_made = []

    def make(**settings):
        made = processes.Penstock(tmp_path_factory.mktemp("penstock"), **settings)
        all_made.append(made)
        return made

    yield make
    for made in all_made:
        end(made)


@pytest.fixture
def own(make_penstock):
    """A running one for this test alone."""
    return make_penstock().start()
