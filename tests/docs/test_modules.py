"""Every module is tested somewhere that can be found."""

from tests.docs.modules import problems


def test_every_module_has_a_test_file_or_a_row() -> None:
    assert list(problems()) == []
