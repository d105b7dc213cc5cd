"""Candidates are measured alternately."""

from celeba_lab.benchmarks.repeats import Candidate, NotMeasuredError, alternate


def test_candidates_take_turns() -> None:
    order: list[str] = []

    def measure(name: str) -> dict[str, float]:
        order.append(name)
        return {"step": float(len(order)), "epoch": 1.0}

    candidates = [Candidate("a", lambda: measure("a")), Candidate("b", lambda: measure("b"))]
    results = alternate("smile", {"step": "images/s", "epoch": "s"}, candidates, repeats=3)
    assert order == ["a", "b"] * 3
    assert [(result.measurement, result.candidate) for result in results] == [
        *(("step", "a"), ("step", "b"), ("epoch", "a"), ("epoch", "b")),
    ]
    assert results[0].values == (1, 3, 5)
    assert results[1].values == (2, 4, 6)
    assert len(results[0].load) == 3


def test_a_candidate_that_fails_is_left_out_of_the_later_rounds_and_its_reason_is_kept() -> None:
    calls: list[int] = []

    def fail() -> dict[str, float]:
        calls.append(1)
        if len(calls) == 2:
            raise NotMeasuredError("The disk is full.")
        return {"step": 5.0}

    def never() -> dict[str, float]:
        raise NotMeasuredError("It is missing.")

    candidates = [Candidate("a", fail), Candidate("b", never), Candidate("c", lambda: {"step": 1.0})]
    a, b, c = alternate("smile", {"step": "images/s"}, candidates, repeats=4)
    assert (a.values, a.note) == ((5.0,), "The disk is full.")
    assert (b.values, b.note) == ((), "It is missing.")
    assert (c.values, c.note) == ((1.0,) * 4, "")
