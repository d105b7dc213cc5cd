"""Python does not search for garbage while libraries are imported."""

import gc

import pytest

from celeba_lab.cli.imports import importing


def test_no_garbage_is_collected_while_libraries_are_imported() -> None:
    with importing():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_failed_import_leaves_the_collection_enabled() -> None:
    with pytest.raises(ImportError), importing():
        raise ImportError
    assert gc.isenabled()


def test_a_collection_that_is_disabled_stays_disabled() -> None:
    gc.disable()
    try:
        with importing():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
