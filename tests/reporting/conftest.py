import pytest

from tests.reporting.page_reader import Page
from tests.reporting.synthetic import results
from vitscope.reporting import report


@pytest.fixture(scope="session")
def full(tmp_path_factory):
    """A report on everything: its Table, its folder and its page."""
    table = results()
    path = report(table, tmp_path_factory.mktemp("full") / "report")
    return table, path.parent, Page.read(path)
