"""Configuration files cannot include other files of the user, or settings that take forever to resolve."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from celeba_lab.cli.config_files import check_config_file, check_interpolations
from celeba_lab.errors import UserError

SECRET = "token: 12345\n"


def borrow(own_conf: Path, text: str) -> None:
    (own_conf / "experiment" / "borrowed.yaml").write_text(f"# @package _global_\n{text}")


@pytest.mark.parametrize("where", ["model", "task", "_global_"])
def test_a_defaults_list_cannot_include_files_outside_its_folder(own_conf: Path, command, where: str) -> None:
    (own_conf.parent / "secret.yaml").write_text(SECRET)
    borrow(own_conf, f"defaults:\n  - ../../secret@{where}\n")
    code, out, err = command("experiment=borrowed")
    assert code == 1
    assert "secret leads out of" in err
    assert "12345" not in out + err


def test_a_link_cannot_lead_to_a_file_outside_the_folder(own_conf: Path, command) -> None:
    (own_conf.parent / "secret.yaml").write_text(SECRET)
    (own_conf / "model" / "secret.yaml").symlink_to(own_conf.parent / "secret.yaml")
    code, out, err = command("experiment=smile", "model=secret")
    assert code == 1
    assert "leads out of" in err
    assert "12345" not in out + err


def test_links_within_the_folder_and_of_the_whole_folder_are_followed(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "a.yaml").touch()
    (tmp_path / "conf" / "b.yaml").symlink_to("a.yaml")
    (tmp_path / "link").symlink_to(tmp_path / "conf")
    for name in ("a", "b.yaml", "nothing"):
        check_config_file(str(tmp_path / "link"), name)


CHAINS = {
    "absolute": "${model.a%d}${model.a%d}",
    "relative": "${.a%d}${.a%d}",
    "select": "${oc.select:model.a%d}${oc.select:model.a%d}",
}


@pytest.mark.parametrize("form", CHAINS.values(), ids=CHAINS)
def test_interpolations_that_multiply_each_other_are_refused(own_conf: Path, command, form: str) -> None:
    chain = "".join(f"  a{k + 1}: {form % (k, k)}\n" for k in range(40))
    borrow(own_conf, f"name: ${{model.a40}}\nmodel:\n  a0: x\n{chain}")
    code, _, err = command("experiment=borrowed")
    assert code == 1
    assert "contains interpolations that multiply each other. Simplify the settings." in err


@pytest.mark.parametrize("step", [1, -1])
def test_chains_of_interpolations_are_accepted_unless_they_are_very_long(step: int) -> None:
    """OmegaConf would exceed Python's limit of recursion."""
    chain = {f"a{k + 1}": f"${{a{k}}}" for k in range(400)}
    short = {key: chain[key] for key in [f"a{k}" for k in range(1, 50)][::step]}
    check_interpolations(OmegaConf.create({"a0": 1, **short, "cycle": "${cycle}"}))
    with pytest.raises(UserError, match=r"a chain of more than 50 interpolations\. Simplify the settings\."):
        check_interpolations(OmegaConf.create({"a0": 1, **{key: chain[key] for key in list(chain)[::step]}}))


def test_interpolations_are_counted() -> None:
    with pytest.raises(UserError, match="multiply each other"):
        check_interpolations(OmegaConf.create({"a0": 1, **{f"a{k + 1}": f"${{a{k}}}-${{a{k}}}" for k in range(20)}}))


LAUGHS = "x0: &x0 [a, a]\n" + "".join(f"x{k + 1}: &x{k + 1} [*x{k}, *x{k}]\n" for k in range(30))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (LAUGHS, "values"),
        ("model:\n  a: " + "[" * 200 + "]" * 200, "levels deep"),
        ("# " + "x" * 2**21, "limit"),
        ("name: \xff", "borrowed.yaml"),
    ],
)
def test_a_file_that_takes_too_much_time_or_memory_is_refused(
    own_conf: Path, command, text: str, sentence: str
) -> None:
    (own_conf / "experiment" / "borrowed.yaml").write_text(f"# @package _global_\n{text}", encoding="latin-1")
    code, _, err = command("experiment=borrowed")
    assert code == 1
    assert "experiment/borrowed.yaml" in err
    assert sentence in err
    assert "Correct this configuration file." in err
