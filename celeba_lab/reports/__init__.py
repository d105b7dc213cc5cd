"""What a person is told about a result: tables, figures and, of a classifier, one page that holds them all.

- :mod:`~celeba_lab.reports.predictions`: what a classifier said, its scores and its mistakes, as tables.
- :mod:`~celeba_lab.reports.classifier`: the report of a classifier, made of the parts below.
- :mod:`~celeba_lab.reports.case`: what every part is given.
- :mod:`~celeba_lab.reports.attributes`: how well each attribute is told, beside the majority class.
- :mod:`~celeba_lab.reports.history`: what happened epoch by epoch.
- :mod:`~celeba_lab.reports.thresholds`: from which probability on to say yes.
- :mod:`~celeba_lab.reports.calibration`: whether a probability means what it says.
- :mod:`~celeba_lab.reports.pixels`: what the image adds to the other labels.
- :mod:`~celeba_lab.reports.groups`: how accuracy differs between groups, and whether associations are exaggerated.
- :mod:`~celeba_lab.reports.drift`: how validation and the reported split differ.
- :mod:`~celeba_lab.reports.mistakes`: the most confident mistakes, and answers that exclude each other.
- :mod:`~celeba_lab.reports.clusters`: the report of a clustering.
"""
