"""Random overrides give one sentence, or a configuration that passes all checks."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeba_lab.cli import main as command
from celeba_lab.cli.choices import list_groups

KEYS = [
    "seed",
    "name",
    "score",
    "checkpoint",
    "resume",
    "print_config",
    "trusted_modules",
    "data.root",
    "data.limit",
    "data.batch_size",
    "data.num_workers",
    "data.partitions",
    "model.lr",
    "model.attributes",
    "model.backbone",
    "model.augment",
    "model.augment.flip",
    "model.loss",
    "model.weights",
    "trainer.max_epochs",
    "trainer.devices",
    "trainer.precision",
    "trainer.limit_val_batches",
    "callbacks.best",
    "callbacks.best.monitor",
    "callbacks.x._target_",
    "task.report",
    "task._target_",
    "recipe",
    "recipe.max_epochs",
    "hydra.run.dir",
    "hydra.job.name",
    "experiment",
]
VALUES = st.sampled_from(
    [
        "",
        "null",
        "true",
        "0",
        "-1",
        "1",
        "1e999",
        "nan",
        "[]",
        "{}",
        "[1,2]",
        "{a:1}",
        "all",
        "${seed}",
        "${nothing}",
        "'",
        '"',
        "a b",
        "../..",
        "/dev/zero",
        "~",
        "os.mkdir",
        "torch.load",
        "smile",
        "gan",
        "\x1b[31m",
        "日本",
        "[/red]",
        "a,b",
        "${oc.env:HOME}",
        "???",
        "!!python/object:os.system",
        "0x10",
        "1_000",
        "a=b",
        "\\",
        "%",
        "*",
    ]
)


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path):
    """``check(arguments)`` composes a configuration and checks it, and returns the exit code and the error output."""
    monkeypatch.chdir(tmp_path)
    prepare = command.prepare

    def stop(cfg):
        prepare(cfg)
        raise SystemExit(0)

    monkeypatch.setattr(command, "prepare", stop)

    def run(arguments: list[str]) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["celeba_lab", *arguments])
        code = 0
        try:
            command.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return code, capsys.readouterr().err

    return run


@given(
    st.sampled_from(["experiment=smile", "experiment=gan", "experiment=logistic", "task=evaluate", "task=compare"]),
    st.lists(
        st.tuples(
            st.sampled_from(["", "", "", "+", "++", "~"]),
            st.sampled_from([*KEYS, *list_groups()]),
            VALUES | st.text(max_size=8),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_random_overrides_are_accepted_or_explained(check, tmp_path, start, overrides) -> None:
    arguments = [start, *(f"{sign}{key}={value}" for sign, key, value in overrides)]
    code, err = check([text.replace("\x00", "") for text in arguments])
    assert code in (0, 1), err
    if code == 1:
        sentences = re.findall(r"^celeba_lab: error: .+$", err, re.MULTILINE)
        assert len(sentences) == 1, err
        assert "\x1b" not in err
