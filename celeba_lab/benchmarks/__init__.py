"""Measurements of speed and memory for ``experiment=benchmark``, beside plain reference loops.

Every measurement runs in a process of its own, so candidates share neither threads nor settings of the memory
allocator, and none of them imports anything for another one.

- :mod:`~celeba_lab.benchmarks.reference`: plain loops, written as in a notebook.
- :mod:`~celeba_lab.benchmarks.bare`: training steps and networks of celeba_lab without everything around them.
- :mod:`~celeba_lab.benchmarks.pipelines`: input pipelines.
- :mod:`~celeba_lab.benchmarks.sections`: what is measured.
- :mod:`~celeba_lab.benchmarks.repeats`: candidates that are measured alternately.
- :mod:`~celeba_lab.benchmarks.results`: medians, ranges and ratios.
- :mod:`~celeba_lab.benchmarks.machine`: the machine, and the load that other processes cause.
- :mod:`~celeba_lab.benchmarks.children`: processes that are started, measured and ended.
- :mod:`~celeba_lab.benchmarks.workplace`: the temporary folder with faces, and the commands that use it.
"""
