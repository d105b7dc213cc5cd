"""The entry point of the command-line interface, which checks the configuration, builds the task and runs it."""

import atexit
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from celeba_lab.cli.sweep import has_queued_jobs, score_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from omegaconf import DictConfig

_BUG = "This is a bug in celeba_lab. Please report it, and include the lines above."


def launch(cfg: "DictConfig") -> float | None:
    """Run the task of a composed configuration, and return the metric selected by ``score``."""
    from celeba_lab.cli.explain import ExplainedExit, explain_disk
    from celeba_lab.cli.imports import importing
    from celeba_lab.cli.processes import error_prefix
    from celeba_lab.cli.run_folder import check_claims
    from celeba_lab.cli.threads import announce_threads, choose_for_run
    from celeba_lab.data.cores import OtherLoad
    from celeba_lab.errors import UserError, settings_of
    from celeba_lab.runs.loggers import closing_loggers
    from celeba_lab.runs.processes import explain_lost_connection
    from celeba_lab.runs.search import Pruned
    from celeba_lab.runs.waiting import waiting_for_others

    # Errors are explained here, before Hydra can print its own message.
    try:
        threads, load = choose_for_run(cfg), OtherLoad()
        if cfg.resume is not None and not _restore(cfg):
            return None
        if cfg.repeat is not None and cfg.resume is None:
            _restore_repeated(cfg)
        with importing():
            task = prepare(cfg)
        announce_threads(threads, load)
    except Exception as error:
        _exit_with_sentence(error, discard_folder=True)
        raise
    try:
        with closing_loggers(), settings_of("task"), waiting_for_others():
            metrics = task(cfg)
        check_claims()
        _conclude(cfg)
    except Pruned:
        raise
    except Exception as error:
        # While a task runs, only these types of error are user errors. An OmegaConf error would be a bug.
        is_user_error = isinstance(error, UserError) or type(error).__name__ == "MisconfigurationException"
        if is_user_error or explain_disk(error) is not None or explain_lost_connection(error) is not None:
            _exit_with_sentence(error, discard_folder=True)
        if error_prefix() is None:
            raise ExplainedExit("") from error
        error.add_note(_BUG)
        raise
    return score_of(cfg, metrics)


def _restore_repeated(cfg: "DictConfig") -> None:
    """Restore the settings of a repeated run, and print what is different today."""
    from celeba_lab.cli.repeat import announce_repeat
    from celeba_lab.cli.resume import restore_repeated

    restore_repeated(cfg)
    announce_repeat(cfg)


def _conclude(cfg: "DictConfig") -> None:
    """Print the command that repeats a run, and compare a repeated run with the original one."""
    from hydra.core.hydra_config import HydraConfig

    from celeba_lab.cli.resume import repeat_command
    from celeba_lab.console import console, is_main_process

    if not is_main_process():
        return
    if cfg.repeat is not None:
        from celeba_lab.cli.repeat import conclude_repeat

        conclude_repeat(cfg)
    console.print(f"  repeat: {repeat_command(Path(HydraConfig.get().runtime.output_dir))}", soft_wrap=True)


def _restore(cfg: "DictConfig") -> bool:
    """Restore the settings of a resumed run, and return whether there is anything left to do."""
    from celeba_lab.cli.resume import restore_settings
    from celeba_lab.console import console

    if restore_settings(cfg):
        return True
    console.print(f"resume={cfg.resume}: this run is finished, so nothing is left to do", soft_wrap=True)
    return False


def prepare(cfg: "DictConfig") -> "Callable[[DictConfig], dict[str, float]]":
    """Check the settings, build the task, describe the run in the terminal, and seed the random number generators.

    Checks that do not need torch or Lightning run first, because importing these libraries takes several seconds.

    Raises:
        UserError: A setting is invalid, or a path in the settings does not exist.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from celeba_lab.cli.announce import announce
    from celeba_lab.cli.choices import check_choices
    from celeba_lab.cli.choose_data import choose_attributes, choose_data
    from celeba_lab.cli.extras import check_extras
    from celeba_lab.cli.imports import start_drawing_early
    from celeba_lab.cli.names import check_names
    from celeba_lab.cli.output_paths import check_output_paths
    from celeba_lab.cli.paths import check_paths
    from celeba_lab.cli.processes import check_processes
    from celeba_lab.cli.quiet import quiet_libraries, use_python_strings
    from celeba_lab.cli.rules import check_rules
    from celeba_lab.cli.seed import check_seed, seed_everything
    from celeba_lab.cli.signatures import complete_signature, read_signature
    from celeba_lab.cli.sweep_processes import refuse_distributed_jobs
    from celeba_lab.cli.targets import check_targets, check_trust
    from celeba_lab.cli.trainer import check_trainer
    from celeba_lab.config import build, check_nodes, check_root_keys, check_types, resolve
    from celeba_lab.errors import check_choice
    from celeba_lab.runs.sweep import DIRECTIONS

    check_choices(HydraConfig.get().runtime.choices)
    check_processes(cfg)
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        refuse_distributed_jobs(cfg)
    check_root_keys(cfg)
    check_choice("direction", cfg.direction, DIRECTIONS)
    resolve(cfg)  # Otherwise, an interpolation could choose another target after the targets are checked.
    check_nodes(cfg)
    check_trust(cfg)
    check_targets(cfg, import_libraries=False)
    check_output_paths(cfg)
    check_extras(cfg)
    check_seed(cfg.seed)
    without_celeba = choose_data(cfg)
    choose_attributes(cfg)
    check_types(cfg, read_signature)
    check_rules(cfg)
    check_trainer(cfg)
    check_names(cfg)
    check_paths(cfg)
    check_types(cfg, complete_signature)
    start_drawing_early(cfg)
    check_targets(cfg, import_libraries=True)
    task: Callable[[DictConfig], dict[str, float]] = build(cfg.task)
    quiet_libraries()  # The task has imported Lightning, which configures its logging on import.
    use_python_strings()
    announce(cfg, without_celeba)
    seed_everything(cfg.seed)
    return task


def main() -> None:
    """Run the command-line interface: print the help page, or let Hydra compose the configuration and launch the run.

    A user error ends the process with a one-sentence message. A bug in celeba_lab is shown with its traceback.
    """
    arguments = sys.argv[1:]
    if not arguments or {"-h", "--help"} & set(arguments):
        _print_help()
        return

    from celeba_lab.cli.imports import skip_last_search
    from celeba_lab.runs.interrupts import Interrupted, raising_interrupts

    atexit.register(skip_last_search)
    try:
        with raising_interrupts():
            _run_hydra(arguments)
    except (KeyboardInterrupt, Interrupted) as error:
        from celeba_lab.cli.requeue import requeue_job
        from celeba_lab.console import is_main_process

        cause = error.signal if isinstance(error, Interrupted) else signal.SIGINT
        if is_main_process():  # The other processes of a distributed run print nothing.
            with suppress(OSError):  # After SIGHUP, the terminal no longer exists.
                print("\n".join([f"\nceleba_lab: stopped by {cause.name}.", *_notes_of(error)]), file=sys.stderr)
                is_warned = cause == getattr(signal, "SIGUSR1", None)
                if is_warned and (done := requeue_job(has_queued_jobs())) is not None:
                    print(f"celeba_lab: {done}", file=sys.stderr)
        sys.exit(128 + cause)
    except Exception as error:
        if _BUG not in _notes_of(error):
            _exit_with_sentence(error)
        raise
    finally:
        if "celeba_lab.cli.run_folder" in sys.modules:
            sys.modules["celeba_lab.cli.run_folder"].release_claims()


def _print_help() -> None:
    from celeba_lab.cli.help import help_text

    try:
        print(help_text(), flush=True)
    except BrokenPipeError:  # The reader, such as head, has read enough. Python would fail again when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run_hydra(arguments: list[str]) -> None:
    """Let Hydra compose the configuration and launch the run or the sweep."""
    import hydra

    from celeba_lab.cli.choices import check_group_overrides, order_arguments
    from celeba_lab.cli.composed_once import composing_once
    from celeba_lab.cli.hydra_settings import checked_hydra_settings
    from celeba_lab.cli.job_names import register_job_names
    from celeba_lab.cli.output_paths import given_on_command_line
    from celeba_lab.cli.parsed_files import parsing_files_once
    from celeba_lab.cli.processes import share_arguments
    from celeba_lab.cli.quiet import escape_messages
    from celeba_lab.cli.resume_arguments import expand_arguments
    from celeba_lab.cli.sweep import watching_sweep
    from celeba_lab.cli.targets import trusting
    from celeba_lab.config import register_schema
    from celeba_lab.files import config_directory
    from celeba_lab.runs.interrupts import Interrupted
    from celeba_lab.runs.threads import choose_threads

    folder = str(Path.cwd())

    def task(cfg: "DictConfig") -> float | None:  # A launcher may call this function in another process.
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        from celeba_lab.cli.job_process import job_process
        from celeba_lab.cli.jobs import run_job, run_single

        sys.argv[1:] = arguments  # With trainer=ddp, Lightning starts the other processes with the same arguments.
        try:
            with given_on_command_line(arguments):
                if HydraConfig.get().mode != RunMode.MULTIRUN:
                    return run_single(cfg, launch)
                with job_process(folder):
                    return run_job(cfg, launch)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | Interrupted):
                _note_resume_command(error)
            raise

    check_group_overrides(arguments)
    register_schema()
    register_job_names()
    escape_messages()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Make Hydra re-raise exceptions, so that they are explained here.
    sys.argv[1:] = order_arguments(expand_arguments(share_arguments(arguments)))
    checked = checked_hydra_settings(sys.argv[1:], arguments)
    with (
        parsing_files_once(),
        trusting(arguments),
        given_on_command_line(arguments),
        checked,
        composing_once(),
        watching_sweep(),
    ):
        choose_threads()  # A sweep imports NumPy. The threads of a run are chosen again when its settings are known.
        hydra.main(version_base="1.3", config_path=str(config_directory()), config_name="config")(task)()


def _note_resume_command(error: BaseException) -> None:
    """Add the command that resumes the current run to an exception, if it has started. A sweep adds its own command."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from celeba_lab.cli.resume import find_resumable
    from celeba_lab.console import is_main_process

    if not HydraConfig.initialized() or not is_main_process():
        return
    hydra = HydraConfig.get()
    if hydra.mode != RunMode.MULTIRUN and (command := find_resumable(hydra.runtime.output_dir)):
        error.add_note(f"To resume: {command}")


def _notes_of(error: BaseException) -> list[str]:
    """Return the notes of an exception."""
    return getattr(error, "__notes__", [])


def _exit_with_sentence(error: Exception, discard_folder: bool = False) -> None:
    """If the error is a user error, print one sentence and exit with status 1. Otherwise, return.

    Args:
        error: Exception that ended the run.
        discard_folder: If true, also remove the run folder, provided that the task has not written to it.
    """
    from celeba_lab.cli.explain import ExplainedExit, explain, explain_disk
    from celeba_lab.cli.processes import error_prefix
    from celeba_lab.errors import readable
    from celeba_lab.runs.processes import explain_lost_connection

    sentence = explain(error)
    if sentence is not None:
        if discard_folder:
            from celeba_lab.cli.run_folder import discard_unused_folder

            discard_unused_folder()
        prefix = error_prefix()
        if prefix is None:
            raise ExplainedExit(readable(sentence))
        print(f"celeba_lab: error: {prefix}{readable(sentence)}", file=sys.stderr)
        if explain_disk(error) is not None or explain_lost_connection(error) is not None:
            _note_resume_command(error)
            print("\n".join(_notes_of(error)), file=sys.stderr)
        raise ExplainedExit(readable(sentence))


if __name__ == "__main__":
    main()
